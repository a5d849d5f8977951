# fleetmend service-state 1
# Says what a service is and does. It is found by its exact name: no wildcards, no query language.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.name
    $result = @{ found = $false }
    foreach ($service in @(Get-CimInstance -ClassName 'Win32_Service')) {
        if ($service.Name -ne $name) { continue }
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\' + $service.Name
        $item = Get-Item -LiteralPath $key
        $dependents = @()
        foreach ($controller in @(Get-Service -ErrorAction SilentlyContinue)) {
            if ($controller.Name -ne $name) { continue }
            foreach ($dependent in $controller.DependentServices) {
                if ([string]$dependent.Status -ne 'Stopped') { $dependents += $dependent.Name }
            }
        }
        $result = @{
            found = $true
            name = [string]$service.Name
            display_name = [string]$service.DisplayName
            state = [string]$service.State
            start_mode = [string]$service.StartMode
            delayed = ([int]$item.GetValue('DelayedAutostart', 0) -eq 1)
            account = [string]$service.StartName
            dependents = $dependents
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
