# fleetmend paths-exist 1
# Says of each path whether there is a file or folder.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $found = @()
    foreach ($path in @($request.paths)) { $found += [bool](Test-Path -LiteralPath ([string]$path)) }
    $json = ConvertTo-Json -InputObject @{ exist = $found } -Depth 4 -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
