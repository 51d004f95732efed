/**
 * Part of the probe's program that tries to reach addresses, all at once. Each try ends with `answer`, the name of an
 * error, or `silence`.
 */
export const NETWORK_TRIES = String.raw`
# Seconds until silence counts as such. A connection's first packet is sent again after one.
PATIENCE = 2.5
# Asks for a name of the cluster's: its own server knows it, and others refuse it at once.
NAME_QUERY = (b'\x47\x42\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00'
              + b''.join(bytes([len(part)]) + part for part in b'kubernetes.default.svc.cluster.local'.split(b'.'))
              + b'\x00\x00\x01\x00\x01')
ECHO = {socket.AF_INET: (1, b'\x08\x00\xf7\xff\x00\x00\x00\x00'), socket.AF_INET6: (58, b'\x80\x00\x00\x00\x00\x00\x00\x00')}

def gateways():
    """Addresses of the next hop. They are not asked for: only the sandbox knows them."""
    found = []
    for line in (text_of('/proc/net/route') or '').splitlines()[1:]:
        hop = int(line.split()[2], 16)
        if hop:
            found.append(socket.inet_ntoa(struct.pack('=L', hop)))
    for line in (text_of('/proc/net/ipv6_route') or '').splitlines():
        words = line.split()
        if words[9] != 'lo' and int(words[4], 16):
            found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[4])) + '%' + words[9])
    return sorted(set(found))[:8]

def begin_try(protocol, host, port):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == 'tcp' else socket.SOCK_DGRAM
    number, echo = ECHO[family] if protocol == 'ping' else (0, b'')
    name, _, scope = host.partition('%')
    try:
        place = (name, port, 0, socket.if_nametoindex(scope) if scope else 0) if ':' in name else (name, port)
        held = socket.socket(family, kind | socket.SOCK_NONBLOCK, number)
        end = held.connect_ex(place)
        if end not in (0, errno.EINPROGRESS):
            return errno.errorcode.get(end, str(end))
        if kind == socket.SOCK_DGRAM:
            held.send(echo or NAME_QUERY)
        return held
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))

def begin_tries(addresses):
    near = [[protocol, host, port] for host in gateways()
            for protocol, port in (('tcp', 53), ('tcp', 80), ('tcp', 443), ('tcp', 10250), ('udp', 53), ('udp', 9), ('ping', 0))]
    wanted = [tuple(address) for address in addresses + near][:200]
    return [('%s %s %s' % address, address[0], begin_try(*address)) for address in wanted]

def end_of(protocol, held):
    end = held.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if end == 0 and protocol != 'tcp':
        end = held.recv(512) is None
    return errno.errorcode.get(end, str(end)) if end else 'answer'

def end_tries(tries):
    ends = {name: held for name, _, held in tries if isinstance(held, str)}
    until = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as waiting:
        for name, protocol, held in tries:
            if not isinstance(held, str):
                waiting.register(held, selectors.EVENT_WRITE if protocol == 'tcp' else selectors.EVENT_READ, (name, protocol))
        while waiting.get_map() and time.monotonic() < until:
            for key, _ in waiting.select(max(0, until - time.monotonic())):
                name, protocol = key.data
                try:
                    ends[name] = end_of(protocol, key.fileobj)
                except OSError as error:
                    ends[name] = errno.errorcode.get(error.errno, str(error.errno))
                waiting.unregister(key.fileobj)
        for key in list(waiting.get_map().values()):
            ends[key.data[0]] = 'silence'
    return ends
`;
