# fleetmend examine-tasks 1
# Lists the scheduled tasks whose action names one of the given folders. Reads only.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $words = @($request.folders | ForEach-Object { [string]$_ } | Where-Object { $_ })
    $service = New-Object -ComObject 'Schedule.Service'
    $service.Connect()
    $folders = New-Object System.Collections.Queue
    $folders.Enqueue($service.GetFolder('\'))
    $tasks = @()
    while ($folders.Count -gt 0 -and $tasks.Count -lt 100) {
        $folder = $folders.Dequeue()
        foreach ($child in $folder.GetFolders(0)) { $folders.Enqueue($child) }
        foreach ($task in $folder.GetTasks(1)) {
            foreach ($action in $task.Definition.Actions) {
                # 0 runs a program; the other kinds name no files.
                if ($action.Type -ne 0) { continue }
                $parts = [string]$action.Path, [string]$action.Arguments,
                    [string]$action.WorkingDirectory
                $text = [Environment]::ExpandEnvironmentVariables(($parts -join ' ').Trim())
                $ignoreCase = [StringComparison]::OrdinalIgnoreCase
                $hits = @($words | Where-Object { $text.IndexOf($_, $ignoreCase) -ge 0 })
                if ($hits.Count -gt 0) { $tasks += @{ name = [string]$task.Path; action = $text } }
            }
        }
    }
    $json = ConvertTo-Json -InputObject @{ tasks = $tasks } -Depth 4 -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
