# fleetmend agent-send-inventory 1
# Asks the agent for its basic inventory: to send it though nothing changed, and outside of its
# blockout periods, too.
$ErrorActionPreference = 'Stop'
try {
    $null = @($input)
    $client = New-Object -ComObject 'Altiris.AeXNSClient'
    $null = $client.SendBasicInventory(1, 1)
    $json = ConvertTo-Json -InputObject @{ called = $true } -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
