# fleetmend agent-packages 1
# Lists the packages of the agent's package server plug-in with their status.
$ErrorActionPreference = 'Stop'
try {
    $null = @($input)
    # Windows would start the agent's service to make the object below: what reads starts nothing.
    $service = @(Get-Service -ErrorAction SilentlyContinue) | Where-Object { $_.Name -eq 'AeXNSClient' }
    if ($null -eq $service) { throw 'the agent is not installed' }
    if ([string]$service.Status -ne 'Running') { throw "the agent's service does not run" }
    $client = New-Object -ComObject 'Altiris.AeXNSClient'
    $server = $null
    try {
        $server = $client.ClientPolicyMgr.ClientAgent('Altiris.AeXNSCPkgSvr')
    } catch {
        # Access denied says nothing about the plug-in; any other refusal means that there is none.
        if ($_.Exception.GetBaseException().HResult -eq -2147024891) { throw }
    }
    $packages = @()
    if ($null -ne $server) {
        foreach ($package in $server.Packages) {
            $since = $null
            if ($package.Time -is [DateTime]) {
                $since = $package.Time.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ss.fffZ')
            }
            $packages += @{
                id = ([Guid][string]$package.Id).ToString('B').ToUpperInvariant()
                name = [string]$package.Name
                status = [string]$package.Status
                version = [string]$package.PackageVersion
                custom_location = [bool]$package.IsCustomLocation
                # The first is documented, the second is not: where it is missing it is empty.
                previous_status = [string]$package.PreviousStatus
                location = [string]$package.Location
                since = $since
            }
        }
    }
    $result = @{ package_server = ($null -ne $server); packages = $packages }
    $json = ConvertTo-Json -InputObject $result -Depth 4 -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
