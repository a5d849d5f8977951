# fleetmend registry-set 1
# Sets one value of a key that exists below HKEY_LOCAL_MACHINE, or takes away the value that an
# earlier run added. Keys are neither made nor removed.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.value
    $kind = [string]$request.kind
    $hive = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $key = $hive.OpenSubKey([string]$request.key, $true)
    if ($null -eq $key) { throw "there is no key '$($request.key)'" }
    if ($kind) {
        $data = [string]$request.data
        if ($kind -eq 'DWord') {
            $data = [BitConverter]::ToInt32([BitConverter]::GetBytes([uint32]::Parse($data)), 0)
        }
        if ($kind -eq 'QWord') {
            $data = [BitConverter]::ToInt64([BitConverter]::GetBytes([uint64]::Parse($data)), 0)
        }
        $key.SetValue($name, $data, $kind)
    } else {
        $key.DeleteValue($name)
    }
    $key.Flush()
    $json = ConvertTo-Json -InputObject @{ done = $true } -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
