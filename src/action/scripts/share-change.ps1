# fleetmend share-change 1
# Makes a share of a folder that exists, sets who may use it, or ends it. The folder and its files
# are not touched.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.name
    $path = [string]$request.path
    $verb = [string]$request.verb
    $share = $null
    foreach ($one in @(Get-SmbShare)) { if ($one.Name -eq $name) { $share = $one } }
    if ($verb -eq 'make') {
        if ($null -ne $share) { throw "there is a share '$name' already" }
        if (-not (Test-Path -LiteralPath $path -PathType Container)) {
            throw "there is no folder '$path'"
        }
        # Closed to all but administrators until its list of rights is set.
        $closed = [Security.Principal.SecurityIdentifier]::new('S-1-5-32-544')
        $admins = $closed.Translate([Security.Principal.NTAccount]).Value
        $share = New-SmbShare -Name $name -Path $path -FullAccess $admins
    } elseif ($null -eq $share -or $share.Path -ne $path) {
        throw "there is no share '$name' of '$path'"
    }
    if ($verb -eq 'end') {
        Remove-SmbShare -InputObject $share -Force
    } else {
        $raw = [Convert]::FromBase64String([string]$request.descriptor)
        $descriptor = [Security.AccessControl.RawSecurityDescriptor]::new($raw, 0)
        $text = $descriptor.GetSddlForm('All')
        Set-SmbShare -InputObject $share -SecurityDescriptor $text -Force
    }
    $json = ConvertTo-Json -InputObject @{ done = $true } -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
