# fleetmend examine-server 1
# Says how the product's services, the shares, the disks and the machine's trust are. Reads only.
$ErrorActionPreference = 'Stop'
function Part($read) {
    try { @{ known = & $read } } catch { @{ unreadable = [string]$_.Exception.Message } }
}
try {
    $null = @($input)
    $result = @{
        services = Part {
            $names = "Name='AeXNSClient' OR Name='AltirisClientMsgDispatcher'"
            $found = @{}
            foreach ($service in Get-CimInstance -ClassName Win32_Service -Filter $names) {
                $found[$service.Name] = @{
                    state = [string]$service.State
                    start_mode = [string]$service.StartMode
                }
            }
            $found
        }
        shares = Part {
            $found = @{}
            foreach ($share in Get-CimInstance -ClassName Win32_Share) {
                if ($share.Path) { $found[$share.Name] = [string]$share.Path }
            }
            $found
        }
        disks = Part {
            $found = @{}
            foreach ($disk in Get-CimInstance -ClassName Win32_LogicalDisk -Filter 'DriveType=3') {
                $sizes = @{ free = [uint64]$disk.FreeSpace; size = [uint64]$disk.Size }
                $found[$disk.DeviceID + '\'] = $sizes
            }
            $found
        }
        # Without -Repair this only asks; it throws on a machine in a workgroup.
        secure_channel = Part { [bool](Test-ComputerSecureChannel) }
        agent_package = Part {
            $key = 'HKLM:\SOFTWARE\Altiris\eXpress\NS Client Package'
            $item = Get-Item -LiteralPath $key -ErrorAction SilentlyContinue
            if ($item) { [string]$item.GetValue('version') } else { '' }
        }
    }
    $json = ConvertTo-Json -InputObject $result -Depth 5 -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
