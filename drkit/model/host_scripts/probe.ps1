#Requires -Version 5.1
# Reads what identifies this host, and the registrations on it. Changes nothing and writes nothing.
param([string] $drkit_registrations = '')

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$clock = [System.Diagnostics.Stopwatch]::StartNew()
$patience = 6000 # milliseconds, after which nothing new is begun
$partial = $false
$room = 0
$items = ''
$seen = @{}

# Read-Source WORK: what it gives, or nothing when it fails or there is no time left. Half of an answer is none.
function Read-Source([scriptblock] $Work) {
    if ($clock.ElapsedMilliseconds -gt $patience) { return }
    try {
        $found = @(& $Work)
    }
    catch {
        return
    }
    $found
}

function Read-Class([string] $Name) {
    Get-CimInstance -ClassName $Name -OperationTimeoutSec 3 -ErrorAction Stop
}

function Read-Registry([string] $Path, [string] $Name) {
    (Get-ItemProperty -LiteralPath "HKLM:\SOFTWARE\Microsoft\$Path" -Name $Name -ErrorAction Stop).$Name
}

# ---- JSON, in ASCII ----

# Format-Text VALUE MOST: a JSON string of at most MOST characters, or null for what is no text or empty.
function Format-Text($Value, [int] $Most) {
    if ($Value -isnot [string] -or $Value.Length -eq 0) { return 'null' }
    $out = New-Object -TypeName System.Text.StringBuilder
    for ($at = 0; $at -lt $Value.Length; $at++) {
        $letter = $Value[$at]
        $code = [int] $letter
        if ($code -eq 34 -or $code -eq 92) { $piece = '\' + $letter }
        elseif ($code -ge 32 -and $code -le 126) { $piece = [string] $letter }
        elseif (-not [char]::IsSurrogate($letter)) { $piece = '\u{0:x4}' -f $code }
        elseif ($at + 1 -lt $Value.Length -and [char]::IsSurrogatePair($letter, $Value[$at + 1])) {
            $at++
            $piece = '\u{0:x4}\u{1:x4}' -f $code, [int] $Value[$at]
        }
        else { $piece = '\ufffd' }
        if ($out.Length + $piece.Length -gt $Most) { break }
        [void] $out.Append($piece)
    }
    '"' + $out.ToString() + '"'
}

# Format-Guid VALUE: in lower case, or null for what is none, or is all zeros or all ones and names nothing.
function Format-Guid($Value) {
    if ($Value -isnot [string]) { return 'null' }
    $text = $Value.Trim().ToLowerInvariant()
    if ($text -cnotmatch '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') { return 'null' }
    if ($text -cmatch '^[0-]+$' -or $text -cmatch '^[f-]+$') { return 'null' }
    "`"$text`""
}

# Format-Texts VALUES MOST: a JSON list, sorted, each text once, or null when there are none.
function Format-Texts([string[]] $Values, [int] $Most) {
    [array]::Sort($Values, [StringComparer]::Ordinal)
    $shown = @()
    foreach ($value in $Values) {
        $text = Format-Text $value 64
        if ($shown -cnotcontains $text -and $shown.Count -lt $Most) { $shown += $text }
    }
    if ($shown.Count -eq 0) { return 'null' }
    '[' + ($shown -join ',') + ']'
}

# ---- the machine ----

function Format-Moment([DateTime] $Moment) {
    $Moment.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", [Globalization.CultureInfo]::InvariantCulture)
}

# The start, to the nearest second. Windows derives it from its clock, so that it moves when the clock is set.
function Read-Boot {
    $started = (Read-Class 'Win32_OperatingSystem').LastBootUpTime
    if ($started -is [DateTime]) { Format-Moment $started.ToUniversalTime().AddMilliseconds(500) }
}

function Read-HostName {
    $name = Read-Source { (Read-Class 'Win32_ComputerSystem').DNSHostName }
    if ($name -is [string] -and $name.Length -gt 0) { return $name }
    Read-Source { [System.Net.Dns]::GetHostName() }
}

# What the physical host last wrote through the service. Without the service it may be from before a move: unknown.
function Read-PhysicalHost {
    if ([string] (Get-Service -Name 'vmickvpexchange' -ErrorAction Stop).Status -ceq 'Running') {
        Read-Registry 'Virtual Machine\Guest\Parameters' 'PhysicalHostName'
    }
}

function Read-HostKeys {
    $folder = [System.IO.Path]::Combine([Environment]::GetEnvironmentVariable('ProgramData'), 'ssh')
    foreach ($file in [System.IO.Directory]::GetFiles($folder, 'ssh_host_*_key.pub')) {
        Read-Source { Read-Fingerprint $file }
    }
}

function Read-Fingerprint([string] $File) {
    $words = @((Read-Start $File) -split '\s+')
    $key = [Convert]::FromBase64String($words[1])
    if ($key.Length -eq 0) { return }
    $hash = New-Object -TypeName System.Security.Cryptography.SHA256CryptoServiceProvider
    'SHA256:' + [Convert]::ToBase64String($hash.ComputeHash($key)).TrimEnd('=')
}

function Read-Macs {
    foreach ($adapter in @(Read-Class 'Win32_NetworkAdapter')) {
        $address = $adapter.MACAddress
        if ($adapter.PhysicalAdapter -ne $true -or $address -isnot [string]) { continue }
        if ($address -match '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' -and $address -ne '00:00:00:00:00:00') {
            $address.ToLowerInvariant()
        }
    }
}

# Straight to the instance metadata service, never through a proxy.
function Read-Metadata {
    $service = [Environment]::GetEnvironmentVariable('DRKIT_IMDS')
    if (-not $service) { $service = 'http://169.254.169.254' }
    $request = [System.Net.WebRequest]::Create("$service/metadata/instance?api-version=2025-04-07")
    $request.Proxy = $null
    $request.Timeout = 2000
    $request.ReadWriteTimeout = 2000
    $request.AllowAutoRedirect = $false
    $request.Headers.Add('Metadata', 'true')
    $response = $request.GetResponse()
    try {
        if ([int] $response.StatusCode -ne 200) { return }
        $stream = $response.GetResponseStream()
        $bytes = Read-Bytes $stream
    }
    finally {
        $response.Close()
    }
    [System.Text.Encoding]::UTF8.GetString($bytes) | ConvertFrom-Json
}

# Read-Bytes STREAM: the first 64 KiB.
function Read-Bytes($Stream) {
    $buffer = New-Object -TypeName 'byte[]' -ArgumentList 65536
    $length = 0
    while ($length -lt $buffer.Length -and $clock.ElapsedMilliseconds -le $patience + 2000) {
        $more = $Stream.Read($buffer, $length, $buffer.Length - $length)
        if ($more -le 0) { break }
        $length += $more
    }
    $bytes = New-Object -TypeName 'byte[]' -ArgumentList $length
    [array]::Copy($buffer, $bytes, $length)
    , $bytes
}

function Read-Field($Object, [string] $Name) {
    if ($null -eq $Object) { return }
    $field = $Object.PSObject.Properties[$Name]
    if ($null -ne $field) { $field.Value }
}

function Format-Metadata {
    $compute = Read-Source { Read-Field (Read-Metadata) 'compute' }
    $id = Format-Guid (Read-Field $compute 'vmId')
    if ($id -ceq 'null') { return 'null' }
    $fields = @("`"vmId`":$id")
    foreach ($field in @(@('resourceId', 600), @('location', 64), @('zone', 16), @('physicalZone', 64))) {
        $fields += '"{0}":{1}' -f $field[0], (Format-Text (Read-Field $compute $field[0]) $field[1])
    }
    '{' + ($fields -join ',') + '}'
}

# ---- registrations ----

# Read-Start FILE: its first 64 KiB, a character for each byte.
function Read-Start([string] $Path) {
    $stream = [System.IO.File]::Open($Path, 'Open', 'Read', [System.IO.FileShare] 'ReadWrite, Delete')
    try {
        $bytes = Read-Bytes $stream
    }
    finally {
        $stream.Close()
    }
    [System.Text.Encoding]::GetEncoding(28591).GetString($bytes)
}

# Read-Account SID: whose profile it is. Local accounts first: a domain may not answer.
function Read-Account([string] $Sid) {
    if ($Sid -cnotmatch '^S(-[0-9]+)+$') { return }
    $query = "SELECT Name FROM Win32_UserAccount WHERE LocalAccount = TRUE AND SID = '$Sid'"
    $name = Read-Source { (Get-CimInstance -Query $query -OperationTimeoutSec 3 -ErrorAction Stop).Name }
    if ($name -is [string] -and $name.Length -gt 0) { return $name }
    Read-Source {
        $identifier = New-Object -TypeName System.Security.Principal.SecurityIdentifier -ArgumentList $Sid
        $identifier.Translate([System.Security.Principal.NTAccount]).Value
    }
}

# Test-Direct PATH TOP: whether no link is on the way from the folder TOP to the file. A user may make one to what only
# the system may read.
function Test-Direct([string] $Path, [string] $Top) {
    while ($Path -and $Path.Length -gt $Top.Length) {
        if ([System.IO.File]::GetAttributes($Path).HasFlag([System.IO.FileAttributes]::ReparsePoint)) { return $false }
        $Path = [System.IO.Path]::GetDirectoryName($Path)
    }
    $true
}

# Add-Registration PRODUCT PATH SID TOP: adds one to the items when it is there. TOP: the profile it is in.
function Add-Registration([string] $Product, [string] $Path, [string] $Sid, [string] $Top) {
    $key = "$Product`t$($Path.ToLowerInvariant())"
    if ($seen.ContainsKey($key)) { return }
    $id = $null
    try {
        $content = ''
        if (Test-Direct $Path $Top) { $content = (Read-Start $Path).Replace([string] [char] 0, '') } # also when it is UTF-16
        if ($content -match '(?<![0-9a-f-])[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])') {
            $id = $Matches[0].ToLowerInvariant()
        }
    }
    catch {
        $fault = $_.Exception.GetBaseException()
        if ($fault -is [System.IO.FileNotFoundException] -or $fault -is [System.IO.DirectoryNotFoundException]) {
            return
        }
        if (-not ([System.IO.File]::Exists($Path) -or [System.IO.Directory]::Exists($Path))) {
            $script:partial = $true
            return
        }
    }
    $seen[$key] = $true
    $user = $null
    if ($Sid) { $user = Read-Account $Sid }
    $item = '{"product":' + (Format-Text $Product 64) + ',"id":' + (Format-Text $id 36) + ',"user":' +
        (Format-Text $user 64) + ',"path":' + (Format-Text $Path 1024) + '}'
    if ($script:items.Length + $item.Length + 1 -gt $script:room) {
        $script:partial = $true
    }
    else {
        $script:items += ",$item"
    }
}

# Read-Asked: the lines asked for. Fails when the parameter is malformed.
function Read-Asked {
    $value = $drkit_registrations
    if ($value.StartsWith('drkit_registrations=', [StringComparison]::Ordinal)) { $value = $value.Substring(20) }
    if ($value -ceq '' -or $value -ceq '-') { return '' }
    if ($value -cnotmatch '^[A-Za-z0-9_-]+$') { throw 'malformed' }
    $value = $value.Replace('-', '+').Replace('_', '/')
    $bytes = [Convert]::FromBase64String($value.PadRight($value.Length + (4 - $value.Length % 4) % 4, '='))
    (New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false, $true).GetString($bytes)
}

function Find-Registrations([string] $Asked) {
    $profiles = @(Read-Source { Read-Class 'Win32_UserProfile' | Where-Object { $_.LocalPath -is [string] } })
    foreach ($line in $Asked.Split("`n")) {
        $product, $path = $line.Split([char[]] "`t", 2)
        if (-not $product -or -not $path) { continue }
        if (-not $path.StartsWith('~/', [StringComparison]::Ordinal)) {
            if ($path -match '^[\\/]{2}') { $script:partial = $true } # another machine's
            elseif ([System.IO.Path]::IsPathRooted($path)) { Add-Registration $product $path '' '' }
            continue
        }
        $inside = $path.Substring(2).Replace('/', [string] [System.IO.Path]::DirectorySeparatorChar)
        if ($profiles.Count -eq 0) { $script:partial = $true }
        foreach ($one in $profiles) {
            if ($clock.ElapsedMilliseconds -gt $patience) {
                $script:partial = $true
                break
            }
            $sid = [string] (Read-Field $one 'SID')
            Add-Registration $product ([System.IO.Path]::Combine($one.LocalPath, $inside)) $sid $one.LocalPath
        }
    }
}

function Format-Registrations {
    try {
        $asked = Read-Asked
        if ($asked -ceq '') { return 'null' }
        Find-Registrations $asked
    }
    catch {
        $script:partial = $true
    }
    if ($script:partial -and $script:items.Length -eq 0) { return 'null' }
    '[' + $script:items.TrimStart(',') + ']'
}

# ---- the answer ----

# Read-Json WORK: its JSON, null when it fails.
function Read-Json([scriptblock] $Work) {
    $json = Read-Source $Work
    if ($json -is [string] -and $json.Length -gt 0) { return $json }
    'null'
}

$object = '{"drkit":"probe/1"'
$fields = @(
    @('time', { Format-Text (Format-Moment ([DateTime]::UtcNow)) 20 }),
    @('hostname', { Format-Text (Read-HostName) 64 }),
    @('os', { '"windows"' }),
    @('machine_id', { Format-Guid (Read-Registry 'Cryptography' 'MachineGuid') }),
    @('boot_id', { Format-Text (Read-Boot) 20 }),
    @('smbios_uuid', { Format-Guid (Read-Class 'Win32_ComputerSystemProduct').UUID }),
    @('physical_host', { Format-Text (Read-PhysicalHost) 128 }),
    @('ssh_host_keys', { Format-Texts @(Read-HostKeys) 8 }),
    @('macs', { Format-Texts @(Read-Macs) 16 }),
    @('imds', { Format-Metadata })
)
foreach ($field in $fields) {
    $object += ',"{0}":{1}' -f $field[0], (Read-Json $field[1])
}
$room = 3400 - $object.Length
$object += ',"registrations":' + (Format-Registrations)
$object += ',"partial":' + $(if ($partial) { 'true' } else { 'false' })
"$object}"
