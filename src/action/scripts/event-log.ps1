# fleetmend event-log 1
# Reads events of a Windows event log, the newest first. Times are counted by the host's own clock.
$ErrorActionPreference = 'Stop'
try {
    $line = @($input)[0]
    $bytes = [Convert]::FromBase64String($line)
    $request = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString($bytes))
    $log = [string]$request.log
    $filter = @{ LogName = $log }
    if ($request.provider) { $filter.ProviderName = [string]$request.provider }
    if (@($request.ids).Count -gt 0) { $filter.Id = [int[]]@($request.ids) }
    if ($request.seconds) { $filter.StartTime = (Get-Date).AddSeconds(-[double]$request.seconds) }
    # A pattern would read other logs than the one that was named.
    $names = [Diagnostics.Eventing.Reader.EventLogSession]::GlobalSession.GetLogNames()
    if (@($names) -notcontains $log) { throw "there is no event log '$log'" }
    $events = @()
    try {
        $found = @(Get-WinEvent -FilterHashtable $filter -MaxEvents ([int]$request.max))
    } catch {
        if ($_.FullyQualifiedErrorId -notlike 'NoMatchingEventsFound*') { throw }
        $found = @()
    }
    foreach ($record in $found) {
        $message = [string]$record.Message
        if ($message.Length -gt 2000) { $message = $message.Substring(0, 2000) }
        $events += @{
            time = $record.TimeCreated.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ss.fffZ')
            id = [int]$record.Id
            level = [int]$record.Level
            provider = [string]$record.ProviderName
            record = [string]$record.RecordId
            message = $message
        }
    }
    $json = ConvertTo-Json -InputObject @{ events = $events } -Depth 4 -Compress
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    [Console]::Out.WriteLine('FLEETMEND:' + [Convert]::ToBase64String($bytes))
    exit 0
} catch {
    [Console]::Error.WriteLine($_.Exception.Message)
    exit 1
}
