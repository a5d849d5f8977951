# fleetmend run-program 1
# Runs a text of a playbook in a process of its own. The text is that process's argument and never
# part of this script. The process is ended when it is late or says too much.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $text = [string]$request.text
    $limit = [int]$request.limit
    $system = [Environment]::SystemDirectory
    $start = [Diagnostics.ProcessStartInfo]::new()
    if ([string]$request.program -eq 'powershell') {
        $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text))
        $start.FileName = "$system\WindowsPowerShell\v1.0\powershell.exe"
        $start.Arguments = '-NoProfile -NonInteractive -ExecutionPolicy Bypass ' +
            "-OutputFormat Text -EncodedCommand $encoded"
    } else {
        $start.FileName = "$system\cmd.exe"
        $start.Arguments = '/d /s /c "' + $text + '"'
    }
    $start.UseShellExecute = $false
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = [Text.Encoding]::UTF8
    $start.StandardErrorEncoding = [Text.Encoding]::UTF8
    $clock = [Diagnostics.Stopwatch]::StartNew()
    $process = [Diagnostics.Process]::Start($start)
    $process.StandardInput.Close()
    $readers = @($process.StandardOutput, $process.StandardError)
    $said = @([Text.StringBuilder]::new(), [Text.StringBuilder]::new())
    $rooms = @([char[]]::new(65536), [char[]]::new(65536))
    $open = @($true, $true)
    $reads = @($null, $null)
    $why = ''
    while (-not $why -and ($open[0] -or $open[1])) {
        foreach ($n in 0, 1) {
            if (-not $open[$n]) { continue }
            if ($null -eq $reads[$n]) { $reads[$n] = $readers[$n].ReadAsync($rooms[$n], 0, 65536) }
            if (-not $reads[$n].Wait(50)) { continue }
            $count = $reads[$n].Result
            $reads[$n] = $null
            $open[$n] = $count -gt 0
            $null = $said[$n].Append($rooms[$n], 0, $count)
        }
        if ($said[0].Length + $said[1].Length -gt $limit) { $why = 'output' }
        if ($clock.Elapsed.TotalSeconds -gt [double]$request.seconds) { $why = 'time' }
    }
    if (-not $why -and -not $process.WaitForExit(5000)) { $why = 'time' }
    if ($why) { & "$system\taskkill.exe" /T /F /PID $process.Id 2>&1 | Out-Null }
    $code = $null
    if (-not $why) { $code = $process.ExitCode }
    $result = @{ ended = $why; exit_code = $code }
    $result.stdout = $said[0].ToString()
    $result.stderr = $said[1].ToString()
    $json = ConvertTo-Json -InputObject $result -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
