# fleetmend agent-refresh-packages 1
# Asks the package server plug-in to check its packages against the Notification Server.
$ErrorActionPreference = 'Stop'
try {
    $null = @($input)
    $client = New-Object -ComObject 'Altiris.AeXNSClient'
    $server = $null
    try {
        $server = $client.ClientPolicyMgr.ClientAgent('Altiris.AeXNSCPkgSvr')
    } catch {
        # Access denied says nothing about the plug-in; any other refusal means that there is none.
        if ($_.Exception.GetBaseException().HResult -eq -2147024891) { throw }
    }
    $found = $null -ne $server
    if ($found) { $null = $server.RefreshPackages() }
    $json = ConvertTo-Json -InputObject @{ package_server = $found; called = $found } -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
