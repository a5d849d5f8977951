# fleetmend share-state 1
# Says what a share leads to and who may use it, and whether a folder exists. The descriptor is
# told in its binary form, which no language and no abbreviation changes.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.name
    $folder = Test-Path -LiteralPath ([string]$request.path) -PathType Container
    $result = @{ found = $false; folder = $folder }
    foreach ($share in @(Get-SmbShare)) {
        if ($share.Name -ne $name) { continue }
        $result.found = $true
        $result.name = [string]$share.Name
        $result.path = [string]$share.Path
        $result.description = [string]$share.Description
        $result.special = [bool]$share.Special
        $result.descriptor = $null
        $text = [string]$share.SecurityDescriptor
        if ($text) {
            $descriptor = [Security.AccessControl.RawSecurityDescriptor]::new($text)
            $raw = [byte[]]::new($descriptor.BinaryLength)
            $descriptor.GetBinaryForm($raw, 0)
            $result.descriptor = [Convert]::ToBase64String($raw)
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
