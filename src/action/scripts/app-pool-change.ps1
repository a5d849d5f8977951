# fleetmend app-pool-change 1
# Starts or stops an application pool of IIS; it does not wait for its end.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.name
    Add-Type -Path ([Environment]::SystemDirectory + '\inetsrv\Microsoft.Web.Administration.dll')
    $manager = New-Object -TypeName 'Microsoft.Web.Administration.ServerManager'
    $found = $null
    foreach ($pool in $manager.ApplicationPools) { if ($pool.Name -eq $name) { $found = $pool } }
    if ($null -eq $found) { throw "there is no application pool '$name'" }
    if ([string]$request.verb -eq 'start') { $null = $found.Start() } else { $null = $found.Stop() }
    $json = ConvertTo-Json -InputObject @{ done = $true } -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
