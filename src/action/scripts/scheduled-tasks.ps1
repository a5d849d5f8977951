# fleetmend scheduled-tasks 1
# Lists the scheduled tasks whose names start with a prefix. It asks the Task Scheduler itself, in
# numbers: the output of schtasks is in the language of the host.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $prefix = [string]$request.prefix
    $states = @{ 1 = 'Disabled'; 2 = 'Queued'; 3 = 'Ready'; 4 = 'Running' }
    $service = New-Object -ComObject 'Schedule.Service'
    $service.Connect()
    $folders = New-Object System.Collections.Queue
    $folders.Enqueue($service.GetFolder('\'))
    $tasks = @()
    while ($folders.Count -gt 0) {
        $folder = $folders.Dequeue()
        foreach ($child in $folder.GetFolders(0)) { $folders.Enqueue($child) }
        foreach ($task in $folder.GetTasks(1)) {
            $ignoreCase = [StringComparison]::OrdinalIgnoreCase
            if (-not $task.Name.StartsWith($prefix, $ignoreCase)) { continue }
            # A task that never ran has the zero of OLE dates, 1899-12-30.
            $lastRun = $null
            $last = [DateTime]$task.LastRunTime
            if ($last.Year -gt 1900) {
                $local = [DateTime]::SpecifyKind($last, [DateTimeKind]::Local)
                $lastRun = $local.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ss.fffZ')
            }
            $status = $states[[int]$task.State]
            if (-not $status) { $status = 'Unknown' }
            $action = ''
            foreach ($step in $task.Definition.Actions) {
                # 0 is a program; other kinds have no command line.
                if ([int]$step.Type -ne 0) { continue }
                if ($action) { $action += '; ' }
                $action += ([string]$step.Path + ' ' + [string]$step.Arguments).Trim()
            }
            $tasks += @{
                name = $task.Path.TrimStart('\')
                status = $status
                last_run = $lastRun
                last_result = $task.LastTaskResult
                run_as = [string]$task.Definition.Principal.UserId
                action = $action
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
