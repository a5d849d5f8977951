# fleetmend host-facts 1
# Says where the agent and the Notification Server keep their files. Reads only.
$ErrorActionPreference = 'Stop'
function Value($key, $name) {
    foreach ($root in 'HKLM:\SOFTWARE\Altiris', 'HKLM:\SOFTWARE\Wow6432Node\Altiris') {
        $item = Get-Item -LiteralPath "$root\$key" -ErrorAction SilentlyContinue
        if ($item) { $text = [string]$item.GetValue($name); if ($text) { return $text } }
    }
    $null
}
function Folder($paths) {
    foreach ($path in $paths) { if ($path -and (Test-Path -LiteralPath $path)) { return $path } }
    $null
}
function Version($path) {
    if (-not (Test-Path -LiteralPath $path)) { return $null }
    (Get-Item -LiteralPath $path).VersionInfo.FileVersion
}
try {
    $null = @($input)
    $data = [Environment]::GetFolderPath('CommonApplicationData')
    $agent = $null
    $root = Value 'Altiris Agent' 'InstallDir'
    if ($root) {
        $root = $root.TrimEnd('\')
        $ns = Value 'Altiris Agent\Servers' ''
        $store = $null
        $policy = "$root\Client Policies\$ns.xml"
        if ($ns -and (Test-Path -LiteralPath $policy)) {
            $text = [IO.File]::ReadAllText($policy)
            if ($text -match 'windowsLocation="([A-Za-z]:\\[^"]+)"') {
                $place = $Matches[1].TrimEnd('\')
                $store = Folder "$place\Package Delivery", $place
            }
        }
        $version = Value 'Altiris Agent' 'Version'
        if (-not $version) { $version = Version "$root\AeXNSAgent.exe" }
        $agent = @{
            install_dir = $root
            version = $version
            machine_guid = Value 'Altiris Agent' 'MachineGuid'
            ns = $ns
            plugin_version = Version "$root\Package Server Agent\AeXNSCPackageServer.dll"
            log_dir = Folder "$data\Symantec\Symantec Agent\Logs", "$root\Logs"
            package_delivery = $store
        }
    }
    $server = $null
    $smp = Value 'eXpress\Notification Server' 'InstallPath'
    if ($smp) {
        $smp = $smp.TrimEnd('\')
        $server = @{
            install_dir = $smp
            snapshots_dir = Folder "$data\Symantec\SMP\Snapshots", "$smp\Snapshots"
        }
    }
    $net = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $json = ConvertTo-Json -Depth 4 -Compress -InputObject @{
        computer = $env:COMPUTERNAME
        domain = $net.DomainName
        time_utc = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ss.fffZ')
        program_data = $data
        program_files = $env:ProgramFiles
        agent = $agent
        notification_server = $server
    }
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
