# fleetmend app-pool-state 1
# Says what an application pool of IIS does, and which others there are.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.name
    $result = @{ iis = $false; name = $null; state = $null; names = @() }
    $library = [Environment]::SystemDirectory + '\inetsrv\Microsoft.Web.Administration.dll'
    if (Test-Path -LiteralPath $library) {
        Add-Type -Path $library
        $manager = New-Object -TypeName 'Microsoft.Web.Administration.ServerManager'
        $result.iis = $true
        foreach ($pool in $manager.ApplicationPools) {
            if ($result.names.Count -lt 50) { $result.names += [string]$pool.Name }
            if ($pool.Name -eq $name) {
                $result.name = [string]$pool.Name
                $result.state = [string]$pool.State
            }
        }
    }
    $json = ConvertTo-Json -InputObject $result -Depth 4 -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
