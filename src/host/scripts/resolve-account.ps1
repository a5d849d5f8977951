# fleetmend resolve-account 1
# Says which SID an account name has. Reads only.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = New-Object Security.Principal.NTAccount([string]$request.account)
    $sid = $name.Translate([Security.Principal.SecurityIdentifier])
    $full = $sid.Translate([Security.Principal.NTAccount])
    $result = @{ account = $full.Value; sid = $sid.Value }
    $json = ConvertTo-Json -InputObject $result -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
