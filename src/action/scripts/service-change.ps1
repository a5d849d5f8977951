# fleetmend service-change 1
# Sets how a service starts, then starts, stops or restarts it. A restart starts those services
# again that depended on it and ran. It waits only where one thing must follow another: whoever
# asked looks at the state, and asks again for the start of what did not stop meanwhile.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $name = [string]$request.name
    $verb = [string]$request.verb
    $mode = [string]$request.start_mode
    $span = [TimeSpan]::FromSeconds([int]$request.seconds)
    $all = @(Get-Service -ErrorAction SilentlyContinue)
    $service = $null
    foreach ($one in $all) { if ($one.Name -eq $name) { $service = $one } }
    if ($null -eq $service) { throw "there is no service '$name'" }
    if ($mode) {
        $type = $mode
        if ($mode -eq 'AutomaticDelayed') { $type = 'Automatic' }
        Set-Service -InputObject $service -StartupType $type
        if ($type -eq 'Automatic') {
            $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\' + $service.Name
            $delayed = [int]($mode -eq 'AutomaticDelayed')
            Set-ItemProperty -LiteralPath $key -Name 'DelayedAutostart' -Value $delayed -Type DWord
        }
    }
    if ($verb -eq 'stop' -or $verb -eq 'restart') {
        if (@('Stopped', 'StopPending') -notcontains [string]$service.Status) {
            if ($verb -eq 'stop') {
                foreach ($one in $service.DependentServices) {
                    if ([string]$one.Status -ne 'Stopped') { throw "$($one.Name) needs it and runs" }
                }
            }
            $service.Stop()
        }
    }
    $done = $true
    $service.Refresh()
    if ($verb -eq 'restart' -or ($verb -eq 'start' -and [string]$service.Status -eq 'StopPending')) {
        try { $service.WaitForStatus('Stopped', $span) } catch { }
        $service.Refresh()
        $done = ([string]$service.Status -eq 'Stopped')
    }
    if ($done -and ($verb -eq 'start' -or $verb -eq 'restart')) {
        if ([string]$service.Status -ne 'Running') {
            $service.Start()
            if (@($request.dependents).Count -gt 0) { $service.WaitForStatus('Running', $span) }
        }
        foreach ($dependent in @($request.dependents)) {
            foreach ($one in $all) {
                if ($one.Name -ne [string]$dependent) { continue }
                $one.Refresh()
                if ([string]$one.Status -ne 'Running') { $one.Start() }
            }
        }
    }
    $json = ConvertTo-Json -InputObject @{ done = $done } -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
