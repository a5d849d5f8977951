# fleetmend registry-read 1
# Reads one value below HKEY_LOCAL_MACHINE in the 64-bit view, without filling in %VARIABLES%.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.value
    $result = @{ key = $false; value = $false; kind = $null; data = $null }
    $hive = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $key = $hive.OpenSubKey([string]$request.key)
    if ($null -ne $key) {
        $result.key = $true
        $names = @($key.GetValueNames())
        if ($names -contains $name) {
            $result.value = $true
            $result.kind = [string]$key.GetValueKind($name)
            $data = $key.GetValue($name, $null, 'DoNotExpandEnvironmentNames')
            switch ($result.kind) {
                'Binary' { $result.data = [Convert]::ToBase64String([byte[]]$data) }
                'MultiString' { $result.data = @($data) }
                'DWord' { $result.data = [string][BitConverter]::ToUInt32([BitConverter]::GetBytes([int]$data), 0) }
                'QWord' { $result.data = [string][BitConverter]::ToUInt64([BitConverter]::GetBytes([long]$data), 0) }
                default { $result.data = [string]$data }
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
