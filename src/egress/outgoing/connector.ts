import type { LookupAddress } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import { connectReadable } from '../../lib/sockets/piece-reader.ts';
import { findAuthorities, loadAuthorities } from '../../outbound/authorities.ts';
import { proxyAuthorization, proxyFor } from '../../outbound/proxy.ts';
import { inUrl, isAddress } from '../policy/host-name.ts';
import type { PrivateNetworks } from '../policy/private-networks.ts';
import { privateAddress, Unreachable } from '../refusal.ts';
import { checkBehindProxy, findAddresses } from './addresses.ts';
import type { Destination } from './destination.ts';
import { Resolver } from './resolver.ts';

/** Time to resolve a name and connect to it, TLS included, in milliseconds. */
const CONNECT_MS = 15_000;

export interface ConnectorOptions {
  /** How this machine reaches hosts. */
  readonly hosts: { readonly caFile?: string | undefined; readonly proxy: Readonly<Record<string, string>> };
  readonly networks: PrivateNetworks;
  /** Resolver of names; tests replace it. */
  readonly resolve?: LookupFunction | undefined;
}

/** Connects to hosts from this machine, directly or through its own proxy, but to no address that is private. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #resolver: Resolver;
  readonly #secureContext: SecureContext;

  /** @throws GloveboxError `invalid_input` for a file of authorities that cannot be read */
  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#resolver = new Resolver(options.resolve);
    this.#secureContext = loadAuthorities(findAuthorities(options.hosts.caFile));
  }

  /** Proxy of this machine that plain requests are sent to as a whole. Undefined if they are not. */
  plainProxy({ host, port, isTls }: Destination): URL | undefined {
    return isTls ? undefined : this.#proxyFor('http', host, port);
  }

  /** Checks a host whose requests a proxy of this machine gets. @throws Refused `address` */
  async checkPlain(destination: Destination, signal: AbortSignal): Promise<void> {
    await checkBehindProxy(destination, this.#parts, signal);
  }

  /**
   * Opens a connection to a host, with TLS if that is wanted.
   * @throws Refused `address`; Unreachable; the reason of the signal
   */
  async open(destination: Destination, signal: AbortSignal): Promise<Socket> {
    const late = AbortSignal.timeout(CONNECT_MS);
    const both = AbortSignal.any([signal, late]);
    try {
      const socket = await this.#openTcp(destination, both);
      return destination.isTls ? await this.#secure(socket, destination.host, both) : socket;
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted) throw new Unreachable(`${destination.host} did not answer in time`, { status: 504 });
      throw error;
    }
  }

  /** Connects to the proxy of this machine itself. @throws Unreachable */
  async openProxy(proxy: URL, signal: AbortSignal): Promise<Socket> {
    const { hostname, protocol } = proxy;
    const port = Number(proxy.port || (protocol === 'https:' ? 443 : 80));
    const host = hostname.replace(/^\[|\]$/g, '');
    const both = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]);
    const socket = await whenConnected(connectTcp({ host, port, noDelay: true }), both, 'connect', NO_PROXY);
    return protocol === 'https:' ? await this.#secure(socket, host, both) : socket;
  }

  get #parts() {
    return { resolver: this.#resolver, networks: this.#options.networks };
  }

  #proxyFor(scheme: 'http' | 'https', host: string, port: number): URL | undefined {
    return proxyFor(new URL(`${scheme}://${inUrl(host)}:${port}`), this.#options.hosts.proxy);
  }

  async #openTcp(destination: Destination, signal: AbortSignal): Promise<Socket> {
    const proxy = this.#proxyFor('https', destination.host, destination.port);
    if (proxy) {
      await checkBehindProxy(destination, this.#parts, signal);
      return await this.#tunnel(proxy, destination, signal);
    }
    const addresses = await findAddresses(destination, this.#parts, signal);
    return await this.#connect(destination, addresses, signal);
  }

  /** Connects to one of the addresses that were checked: the name is not resolved again. */
  async #connect(
    { host, port, isNamedAddress, isTls, isHalfOpen = false }: Destination,
    addresses: readonly LookupAddress[],
    signal: AbortSignal,
  ): Promise<Socket> {
    const lookup: LookupFunction = (_name, { all }, callback) => {
      const [first] = addresses;
      if (all || !first) callback(null, [...addresses]);
      else callback(null, first.address, first.family);
    };
    // With TLS, what is read from this socket is not what code gets.
    const open = isTls ? connectTcp : connectReadable;
    const socket = open({ host, port, lookup, autoSelectFamily: true, allowHalfOpen: isHalfOpen, noDelay: true });
    await whenConnected(socket, signal, 'connect', `${host} cannot be reached at port ${port}`);
    const { remoteAddress } = socket;
    if (isNamedAddress || (remoteAddress !== undefined && !this.#options.networks.isRefused(remoteAddress)))
      return socket;
    socket.destroy();
    throw privateAddress(host, port, new Error(`connected to ${remoteAddress}`));
  }

  /** Has a proxy of this machine connect to a host. What it says of a failure may be about this network, and is not told. */
  #tunnel(proxy: URL, { host, port }: Destination, signal: AbortSignal): Promise<Socket> {
    const authority = `${inUrl(host)}:${port}`;
    const { protocol, hostname } = proxy;
    const request = (protocol === 'https:' ? requestHttps : requestHttp)({
      method: 'CONNECT',
      host: hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port || (protocol === 'https:' ? 443 : 80),
      path: authority,
      headers: { host: authority, ...proxyAuthorization(proxy) },
      agent: false,
      signal,
      ...(protocol === 'https:' ? { secureContext: this.#secureContext } : {}),
    });
    return new Promise((resolve, reject) => {
      request.once('connect', (answer, socket, head) => {
        // Whoever uses it gets the event `close`.
        socket.on('error', () => {});
        const { statusCode = 0 } = answer;
        if (statusCode >= 200 && statusCode < 300) {
          if (head.length > 0) socket.unshift(head);
          return resolve(socket as Socket);
        }
        socket.destroy();
        reject(new Unreachable(`The proxy of the server does not connect to ${host} (status ${statusCode})`));
      });
      request.once('response', (answer) => {
        answer.destroy();
        reject(new Unreachable(`The proxy of the server does not connect to ${host} (status ${answer.statusCode})`));
      });
      request.once('error', (cause) => reject(signal.aborted ? signal.reason : new Unreachable(NO_PROXY, { cause })));
      request.end();
    });
  }

  async #secure(socket: Socket, host: string, signal: AbortSignal): Promise<TLSSocket> {
    const secure = connectTls({
      socket,
      host,
      ...(isAddress(host) ? {} : { servername: host }),
      secureContext: this.#secureContext,
      ALPNProtocols: ['http/1.1'],
    });
    return await whenConnected(secure, signal, 'secureConnect', `There is no TLS with ${host}`);
  }
}

const NO_PROXY = 'The proxy of the server cannot be reached';

/** Waits until a socket is connected. @throws Unreachable, with the code of the failure; the reason of the signal */
async function whenConnected<S extends Socket>(
  socket: S,
  signal: AbortSignal,
  event: 'connect' | 'secureConnect',
  failure: string,
): Promise<S> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason);
  const fail = (cause: NodeJS.ErrnoException) => {
    reject(new Unreachable(cause.code === undefined ? failure : `${failure} (${cause.code})`, { cause }));
  };
  const close = () => reject(new Unreachable(failure));
  // Whoever uses the socket gets the event `close`. An error that nobody hears would end the process.
  socket.on('error', () => {});
  signal.addEventListener('abort', abort, { once: true });
  socket.once(event, resolve);
  socket.once('error', fail);
  socket.once('close', close);
  if (signal.aborted) abort();
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
    socket.off('error', fail);
    socket.off('close', close);
  }
}
