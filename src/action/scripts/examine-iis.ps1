# fleetmend examine-iis 1
# Says whether IIS is installed, which application pools it has, whether they are started, and
# which of them serve the product's addresses. Reads only.
$ErrorActionPreference = 'Stop'
try {
    $null = @($input)
    $result = @{ is_installed = $false; app_pools = @() }
    $setup = Get-Item -LiteralPath 'HKLM:\SOFTWARE\Microsoft\InetStp' -ErrorAction SilentlyContinue
    $service = Get-CimInstance -ClassName Win32_Service -Filter "Name='W3SVC'"
    if ($setup -and $service) {
        $result.is_installed = $true
        Import-Module WebAdministration
        $serving = @{}
        foreach ($site in Get-ChildItem -Path 'IIS:\Sites') {
            foreach ($app in $site.Collection) {
                $base = ([string]$app.path).TrimEnd('/')
                $pool = [string]$app.applicationPool
                if (-not $pool) { $pool = [string]$site.applicationDefaults.applicationPool }
                if (-not $pool) { $pool = 'DefaultAppPool' }
                foreach ($folder in $app.Collection) {
                    $address = $base + [string]$folder.path
                    if ($address -match '^/(altiris|pkggroup_)') { $serving[$pool] = $true }
                }
            }
        }
        foreach ($pool in Get-ChildItem -Path 'IIS:\AppPools') {
            $name = [string]$pool.Name
            $result.app_pools += @{
                name = $name
                is_started = ([string]$pool.State -eq 'Started')
                serves_packages = $serving.ContainsKey($name)
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
