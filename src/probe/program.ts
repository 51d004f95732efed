import { NETWORK_TRIES } from './network-tries.ts';

/**
 * Program that looks at its own sandbox. It reads what to look at as JSON from stdin, and prints what it found as one
 * JSON object. It judges nothing: code in a sandbox may lie, and judging it is the control plane's part.
 */
export const PROBE = String.raw`
import ctypes, errno, json, mmap, os, resource, selectors, signal, socket, stat, struct, sys, tempfile, time

asked = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
own = os.getuid()

def text_of(*paths):
    for path in paths:
        try:
            with open(path) as file:
                return file.read().strip()
        except OSError:
            pass
    return None

def outcome(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return 'done'

def called(function, *arguments):
    ctypes.set_errno(0)
    return 'done' if function(*arguments) >= 0 else errno.errorcode.get(ctypes.get_errno(), '')

def apart(action):
    """Says how a call ended that would change the process which makes it."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writable, action().encode())
        finally:
            os._exit(0)
    os.close(writable)
    with open(readable) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said

def process_status(process):
    lines = (text_of('/proc/%s/status' % process) or '').splitlines()
    return dict(line.split(':\t', 1) for line in lines if ':\t' in line)

KEYCTL = {'x86_64': 250, 'i686': 288, 'armv7l': 311, 'ppc64le': 271, 's390x': 280}.get(os.uname().machine, 219)

def refused_calls():
    # Without a filter, each of these succeeds for a user without capabilities, or fails otherwise.
    return {
        'unshare': apart(lambda: called(libc.unshare, 0x10000000)),
        'keyctl': apart(lambda: called(libc.syscall, KEYCTL, 0, -3, 1)),
        'ptrace': apart(lambda: called(libc.ptrace, 0, 0, 0, 0)),
        'netlink': outcome(lambda: socket.socket(16, socket.SOCK_RAW, 0).close()),
    }

STACK = 16 << 10

def flood(most):
    """Starts processes until no more may be. They share all memory, so thousands of them take little."""
    stacks = mmap.mmap(-1, most * STACK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    first = ctypes.addressof(ctypes.c_char.from_buffer(stacks))
    wait = ctypes.cast(libc.pause, ctypes.c_void_p)
    children, refused = [], None
    while len(children) < most:
        ctypes.set_errno(0)
        top = ctypes.c_void_p(first + (len(children) + 1) * STACK)
        child = libc.clone(wait, top, 0x100 | signal.SIGCHLD, None)
        if child < 0:
            refused = errno.errorcode.get(ctypes.get_errno(), '')
            break
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    return {'started': len(children), 'refused': refused}

STEP = 16 << 20

def take(most):
    """Takes memory in a child, until that is ended."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        blocks = []
        try:
            with open('/proc/self/oom_score_adj', 'w') as file:
                file.write('1000')
        except OSError:
            pass
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
            while len(blocks) * STEP < most:
                blocks.append(mmap.mmap(-1, STEP, flags=flags))
                os.write(writable, b'.')
        finally:
            os._exit(1 if len(blocks) * STEP < most else 0)
    os.close(writable)
    with open(readable, 'rb') as stream:
        taken = len(stream.read()) * STEP
    status = os.waitpid(child, 0)[1]
    return {'taken': taken, 'ended': os.WIFSIGNALED(status) or os.WEXITSTATUS(status) != 0}

def disk(path):
    try:
        sizes, facts = os.statvfs(path), os.stat(path)
    except OSError:
        return None
    return {'bytes': sizes.f_blocks * sizes.f_frsize, 'inodes': sizes.f_files, 'uid': facts.st_uid,
            'mode': stat.S_IMODE(facts.st_mode), 'writable': os.access(path, os.W_OK)}

def plain(place):
    """A path of mountinfo, in which the kernel writes blanks and backslashes in octal."""
    for octal in ('040', '011', '012', '134'):
        place = place.replace('\\' + octal, chr(int(octal, 8)))
    return place

def writable_in(place, disks):
    try:
        mode = os.stat(place).st_mode
    except OSError:
        return []
    if stat.S_ISREG(mode):
        return [place] if os.access(place, os.W_OK) else []
    found, seen = [], 0
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in disks]
        seen += 1 + len(files)
        if os.access(folder, os.W_OK):
            found.append(folder)
            folders.clear()
        for name in files:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode) and os.access(path, os.W_OK):
                found.append(path)
        if seen > 5000 or len(found) > 20:
            break
    return found

def writable(disks):
    """What can be written besides the disks. Only what is mounted for writing is searched."""
    found = set()
    for line in (text_of('/proc/self/mountinfo') or '').splitlines():
        fields = line.split()
        place, options = plain(fields[4]), fields[5].split(',')
        if 'rw' not in options or place in disks or place == '/proc' or place.startswith('/proc/'):
            continue
        found.update(['/'] if place == '/' else writable_in(place, disks))
    return sorted(found)[:20]

def shown(path):
    """Whether there is anything to be read."""
    try:
        if os.path.isdir(path):
            return len(os.listdir(path)) > 0
        with open(path, 'rb') as file:
            return len(file.read(64)) > 0
    except OSError:
        return False

def interfaces():
    names = [line.split(':')[0].strip() for line in (text_of('/proc/net/dev') or '').splitlines()[2:]]
    # The kernel's modules for tunnels put one of theirs into each namespace. It is down, and nobody may raise it.
    flags = {name: text_of('/sys/class/net/%s/flags' % name) for name in names}
    return [name for name in names if flags[name] is None or int(flags[name], 16) & 1]

def routes():
    four = [line.split()[0] for line in (text_of('/proc/net/route') or '').splitlines()[1:]]
    six = [line.split()[-1] for line in (text_of('/proc/net/ipv6_route') or '').splitlines()]
    return sorted({name for name in four + six if name != 'lo'})

def name_servers():
    lines = [line.split() for line in (text_of('/etc/resolv.conf') or '').splitlines()]
    return [words[1] for words in lines if len(words) > 1 and words[0] == 'nameserver']

${NETWORK_TRIES}
CGROUP = '/sys/fs/cgroup/'

def processor_quota():
    quota = text_of(CGROUP + 'cpu.max')
    if quota is not None:
        return quota
    parts = [text_of(*(CGROUP + '%s/cpu.cfs_%s_us' % (folder, part) for folder in ('cpu', 'cpu,cpuacct')))
             for part in ('quota', 'period')]
    return None if None in parts else ' '.join(parts)

def lowest_oom_score():
    """The lowest score that this process can give itself: code can give itself the same."""
    path, low, high = '/proc/self/oom_score_adj', -1000, int(text_of('/proc/self/oom_score_adj'))
    while low < high:
        middle = (low + high) // 2
        try:
            with open(path, 'w') as file:
                file.write(str(middle))
            high = middle
        except OSError:
            low = middle + 1
    return str(high)

def done_to(process):
    return [what for what, end in {
        'kill': outcome(os.kill, int(process), 0),
        'mem': outcome(open, '/proc/%s/mem' % process, 'rb'),
        'environ': outcome(open, '/proc/%s/environ' % process, 'rb'),
    }.items() if end == 'done']

def main_process():
    """The main process, where it has the user of the code. Signals are sent to it last."""
    ids = process_status(1).get('Uid', '').split()
    done = [what for what in done_to(1) if what != 'kill']
    if outcome(os.listdir, '/proc/1/fd') == 'done':
        done.append('fd')
    return {'uid': int(ids[0]) if ids else None, 'done': done, 'state': None}

def others():
    """What can be done to processes of other users, above all to the main one."""
    found = []
    for process in sorted(name for name in os.listdir('/proc') if name.isdigit()):
        ids = process_status(process).get('Uid', '').split()
        if not ids or int(ids[0]) == own:
            continue
        found.append({'process': int(process), 'done': done_to(process)})
    return found[:20]

def state_after_signals():
    """Sends the main process, of the same user, what ends or stops others. If it ends, so does this program."""
    for number in ('TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'ABRT', 'SEGV', 'ALRM', 'TSTP', 'STOP', 'KILL'):
        outcome(os.kill, 1, getattr(signal, 'SIG' + number))
    time.sleep(0.1)
    return process_status(1).get('State', '')[:1]

def fill(path):
    """How it ends to put more on a disk than it has. Nothing stays of it."""
    sizes = os.statvfs(path)
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            return outcome(os.posix_fallocate, file.fileno(), 0, sizes.f_blocks * sizes.f_frsize + 4096)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))

tries = begin_tries(asked['addresses']) if asked['addresses'] is not None else []
facts = process_status('self')
score = apart(lowest_oom_score) if asked['filter'] else ''
swap = [line.split()[1] for line in (text_of('/proc/meminfo') or '').splitlines() if line.startswith('SwapTotal')]
disks = {path: disk(path) for path in asked['disks']}
report = {
    'users': [*os.getresuid(), *os.getresgid(), *os.getgroups()],
    'capabilities': {name: facts[name] for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb') if name in facts},
    'no_new_privileges': libc.prctl(39, 0, 0, 0, 0) == 1,
    'seccomp': facts.get('Seccomp'),
    'calls': refused_calls() if asked['filter'] else {},
    'limits': {
        'memory': text_of(CGROUP + 'memory.max', CGROUP + 'memory/memory.limit_in_bytes'),
        'swap': text_of(CGROUP + 'memory.swap.max'),
        'memory_and_swap': text_of(CGROUP + 'memory/memory.memsw.limit_in_bytes'),
        'pids': text_of(CGROUP + 'pids.max', CGROUP + 'pids/pids.max'),
        'cpu': processor_quota(),
        'group_end': text_of(CGROUP + 'memory.oom.group'),
    },
    'swap_kib': int(swap[0]) if swap else 0,
    'processors': os.cpu_count() or 1,
    'disks': disks,
    'writable': writable(set(disks)),
    'shown': [path for path in asked['masked'] if shown(path)],
    'interfaces': interfaces(),
    'routes': routes(),
    'name_servers': name_servers(),
    'rlimits': {name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1] for name in asked['rlimits']},
    'oom_score': int(score) if score else None,
    'others': others(),
    'main': main_process() if asked['same_user'] else None,
    'full': {path: fill(path) for path in asked['fill']},
    'tries': end_tries(tries),
}
# Last, because they may end the sandbox.
report['flood'] = flood(asked['processes']) if asked['processes'] else None
# Where the kernel ends all of a sandbox at once, nothing would be left to tell of it.
report['taking'] = take(asked['memory']) if asked['memory'] and report['limits']['group_end'] != '1' else None
if report['main']:
    report['main']['state'] = state_after_signals()
print(json.dumps(report))
`;
