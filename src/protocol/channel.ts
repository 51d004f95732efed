import type { Duplex } from 'node:stream';
import { GloveboxError } from '../errors.ts';
import { parseReport } from '../execution/report.ts';
import type { ExecutionRequest, OutputSink } from '../execution/request.ts';
import { type Keep, keepAsIs, type PieceStream, type TakePiece } from '../lib/reused-memory.ts';
import { ChannelExecution } from './channel-execution.ts';
import {
  FIRST_TUNNEL,
  type Frame,
  FrameDecoder,
  FrameType,
  INITIAL_CREDIT,
  type Payload,
  WEB_WINDOW,
  writeFrame,
} from './frames.ts';
import { GenerationRefused, IncompatibleRunner, parseGreeting, type RunnerState } from './greeting.ts';
import { parseNotice, type RunnerNotice } from './notice.ts';
import { Pulse } from './pulse.ts';
import { Tunnel } from './tunnel.ts';
import { parseUsage } from './usage.ts';

/** What code in the sandbox connects to: its package index, the tools that it may call, or the proxy to other hosts. */
export type TunnelService = 'packages' | 'tools' | 'web';

/** Called with each connection that code in the sandbox makes to a service. */
export type OnTunnel = (tunnel: Duplex, service: TunnelService) => void;

export interface ChannelOptions {
  /** Configuration, which the runner gets before anything else. */
  readonly configuration?: RunnerConfiguration;
  readonly onTunnel?: OnTunnel;
  /** Called with notices of the runner on the sandbox. */
  readonly onNote?: (note: RunnerNotice) => void;
}

export interface RunnerConfiguration {
  /** Modules to preload for programs. `adaptive`: those that earlier programs imported. */
  readonly preload: 'adaptive' | 'none' | readonly string[];
  /** Whether the runner takes connections to tools. */
  readonly tools?: boolean;
  /** Whether the runner takes connections to the proxy. */
  readonly web?: boolean;
}

/** What a session is expected to use, so that its runner loads it beforehand. */
export interface RunnerExpectation {
  /** Names of modules, in the order of their imports. */
  readonly modules: readonly string[];
  /** Whether to make an interpreter ready for the first cell of a context. */
  readonly context: boolean;
  /** Most memory for it, in bytes. */
  readonly bytes: number;
}

/** Time for a started runner to send its greeting, in milliseconds. */
const READY_LIMIT_MS = 10_000;
/** Most open tunnels. More than the runner opens at once, because one that it has reset may still be open here. */
const MAX_TUNNELS = 256;
/** Services by the payload of the frame that opens a tunnel. */
const SERVICES: ReadonlyMap<string, TunnelService> = new Map([
  ['', 'packages'],
  ['tools', 'tools'],
  ['web', 'web'],
]);
/** Most notices to log. More than the runner sends; it limits the log of an untrusted sandbox. */
const MAX_NOTES = 32;

/**
 * Sends and receives frames over a runner's stdin and stdout. Any number of executions share the channel. Each has its own
 * credit, so that a slow reader delays no other execution and no output piles up here.
 * The sandbox is not trusted: the first invalid byte closes the channel.
 */
export class Channel {
  /** Resolves when the channel has closed, because the runner ended or broke the protocol. Never rejects. */
  readonly closed: Promise<{ violation?: string }>;
  /** What an earlier control plane left in the runner. Undefined if the runner is new. */
  runnerState: RunnerState | undefined;
  readonly #stream: PieceStream;
  readonly #executions = new Map<number, ChannelExecution>();
  readonly #tunnels = new Map<number, Tunnel>();
  readonly #onTunnel: OnTunnel;
  readonly #onNote: (note: RunnerNotice) => void;
  /** Bytes of standard input that the runner accepts before its first grant. */
  #stdinAhead = 0;
  #unpacks = false;
  #takesArgs = false;
  #runsCommands = false;
  #opensTerminals = false;
  #passesSignals = false;
  #tellsUsage = false;
  /** Unset while the connection does not ask for one, or the runner answers no pings. */
  #pulse: Pulse | undefined;
  #notices = 0;
  #lastStream = 0;
  #lastTunnel = FIRST_TUNNEL;
  #close: (reason: { violation?: string }) => void = () => {};
  readonly #greeting = Promise.withResolvers<'greeted'>();
  #greeted = false;

  private constructor(stream: PieceStream, { onTunnel, onNote }: ChannelOptions) {
    this.#stream = stream;
    this.#onTunnel = onTunnel ?? ((tunnel) => tunnel.destroy());
    this.#onNote = onNote ?? (() => {});
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
    const decoder = new FrameDecoder();
    const take: TakePiece = (piece, keep) => this.#take(decoder, piece, keep);
    if (stream.readPieces) stream.readPieces(take);
    else stream.on('data', (chunk: Buffer) => take(chunk, keepAsIs));
    stream.on('error', () => this.close());
    stream.on('close', () => this.close());
    stream.on('end', () => this.close());
  }

  /**
   * Opens a channel to a runner that has just been started.
   * @throws GloveboxError `sandbox_lost` if it does not answer; IncompatibleRunner if it speaks another version;
   *   GenerationRefused if another control plane has it
   */
  static async open(stream: PieceStream, options: ChannelOptions = {}): Promise<Channel> {
    const channel = new Channel(stream, options);
    if (options.configuration) channel.configure(options.configuration);
    const silent = () =>
      channel.#greeting.reject(new GloveboxError('sandbox_lost', 'The runner of the sandbox did not start.'));
    void channel.closed.then(silent);
    const timer = setTimeout(silent, READY_LIMIT_MS);
    try {
      await channel.#greeting.promise;
      return channel;
    } catch (error) {
      channel.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Why the runner cannot be reached at present, if that is known. The channel may go on later. */
  get outage(): Error | undefined {
    const outage = this.#stream.heartbeat?.outage;
    return outage && (this.#pulse?.heardAt ?? 0) <= outage.since ? outage.error : undefined;
  }

  /** Whether the runner can unpack the contents of an archive. */
  get unpacks(): boolean {
    return this.#unpacks;
  }

  /** Whether the runner passes arguments to a program. */
  get takesArgs(): boolean {
    return this.#takesArgs;
  }

  /** Whether the runner runs commands. */
  get runsCommands(): boolean {
    return this.#runsCommands;
  }

  /** Whether the runner opens terminals. */
  get opensTerminals(): boolean {
    return this.#opensTerminals;
  }

  /** Whether the runner passes signals to programs. */
  get passesSignals(): boolean {
    return this.#passesSignals;
  }

  /** Whether the runner tells what a running execution has used. */
  get tellsUsage(): boolean {
    return this.#tellsUsage;
  }

  /** Starts an execution. Its output goes to `sink`, in order. */
  execute(request: ExecutionRequest, sink: OutputSink): ChannelExecution {
    this.#lastStream += 1;
    const id = this.#lastStream;
    const granted = request.stdin_stream ? this.#stdinAhead : 0;
    const execution = new ChannelExecution(sink, (type, ...frame) => this.#send(type, id, ...frame), granted);
    this.#executions.set(id, execution);
    if (this.#stream.destroyed) execution.abandon();
    const body = granted > 0 ? { ...request, stdin_granted: granted } : request;
    this.#send(FrameType.start, id, Buffer.from(JSON.stringify(body)));
    return execution;
  }

  /** Sends the configuration, which the runner takes in place of an earlier one. */
  configure(configuration: RunnerConfiguration & { readonly expect?: RunnerExpectation }): void {
    this.#send(FrameType.configure, 0, Buffer.from(JSON.stringify(configuration)));
  }

  close(violation?: string): void {
    this.#close(violation === undefined ? {} : { violation });
    this.#pulse?.[Symbol.dispose]();
    this.#stream.destroy();
    for (const execution of this.#executions.values()) execution.abandon();
    for (const tunnel of [...this.#tunnels.values()]) tunnel.reset();
  }

  #send(type: number, stream: number, payload: Payload, onWritten?: (error?: Error | null) => void): void {
    if (this.#stream.writable) writeFrame(this.#stream, type, stream, payload, onWritten);
    else onWritten?.(new Error('the channel has closed'));
  }

  #take(decoder: FrameDecoder, piece: Buffer, keep: Keep): void {
    this.#pulse?.hear();
    try {
      for (const frame of decoder.decode(piece)) this.#dispatch(frame, keep);
    } catch (error) {
      if (error instanceof IncompatibleRunner || error instanceof GenerationRefused) this.#greeting.reject(error);
      this.close(error instanceof Error ? error.message.slice(0, 200) : 'unreadable frame');
    }
  }

  #dispatch({ type, stream, payload }: Frame, keep: Keep): void {
    if (type === FrameType.ready) {
      this.#takeGreeting(payload);
      return;
    }
    if (type === FrameType.note) {
      this.#notices += 1;
      if (this.#notices > MAX_NOTES) throw new Error('too many notes');
      this.#onNote(parseNotice(payload));
      return;
    }
    if (type === FrameType.pong && this.#pulse) {
      this.#pulse.answer(payload);
      return;
    }
    if (stream >= FIRST_TUNNEL) {
      this.#dispatchTunnel({ type, stream, payload }, keep);
      return;
    }
    const execution = this.#executions.get(stream);
    if (!execution) throw new Error(`frame of type ${type} for unknown stream ${stream}`);
    if (type === FrameType.stdout) execution.take('stdout', payload, keep);
    else if (type === FrameType.stderr) execution.take('stderr', payload, keep);
    else if (type === FrameType.display) execution.take('display', payload, keep);
    else if (type === FrameType.credit && payload.length === 4) execution.input.grant(payload.readUInt32BE());
    else if (type === FrameType.usage) execution.takeUsage(parseUsage(payload));
    else if (type === FrameType.end) {
      this.#executions.delete(stream);
      execution.end(parseReport(payload));
    } else throw new Error(`frame of unknown type ${type}`);
  }

  #takeGreeting(payload: Buffer): void {
    if (this.#greeted) throw new Error('a second greeting');
    this.#greeted = true;
    const { adopted, stdin_ahead: stdinAhead, unpacks, takes_args: takesArgs, ...can } = parseGreeting(payload);
    this.#stdinAhead = stdinAhead;
    this.#unpacks = unpacks;
    this.#takesArgs = takesArgs;
    this.#runsCommands = can.commands;
    this.#opensTerminals = can.terminals;
    this.#passesSignals = can.signals;
    this.#tellsUsage = can.usage;
    const { heartbeat, destroyed } = this.#stream;
    if (heartbeat && can.pings && !destroyed)
      this.#pulse = new Pulse(heartbeat, (ping) => this.#send(FrameType.ping, 0, ping));
    if (adopted) {
      const executions = adopted.executions.map(({ id, stream, ran_ms: ranMs, ended, ended_by: endedBy }) => {
        // Its output is read from files that the runner writes.
        const channel = new ChannelExecution(
          () => undefined,
          (type, ...frame) => this.#send(type, stream, ...frame),
        );
        this.#executions.set(stream, channel);
        return [id, { id, channel, ranMs, ended, endedBy }] as const;
      });
      this.runnerState = { contexts: adopted.contexts, executions: new Map(executions) };
    }
    this.#greeting.resolve('greeted');
  }

  #dispatchTunnel({ type, stream, payload }: Frame, keep: Keep): void {
    if (type === FrameType.open) {
      this.#openTunnel(stream, payload);
      return;
    }
    const tunnel = this.#tunnels.get(stream);
    if (stream > this.#lastTunnel) throw new Error(`frame of type ${type} for unknown tunnel ${stream}`);
    // The tunnel was closed here while the frame was on its way.
    if (!tunnel) return;
    if (type === FrameType.data) tunnel.deliver(payload, keep);
    else if (type === FrameType.credit && payload.length === 4) tunnel.credit(payload.readUInt32BE());
    else if (type === FrameType.fin) tunnel.finish();
    else if (type === FrameType.reset) tunnel.reset();
    else throw new Error(`frame of type ${type} for a tunnel`);
  }

  #openTunnel(stream: number, payload: Buffer): void {
    if (stream <= this.#lastTunnel || this.#tunnels.size >= MAX_TUNNELS)
      throw new Error(`tunnel ${stream} out of turn`);
    const service = SERVICES.get(payload.toString('latin1'));
    if (!service) throw new Error(`tunnel ${stream} to an unknown service`);
    this.#lastTunnel = stream;
    const tunnel = new Tunnel(
      (type, ...frame) => this.#send(type, stream, ...frame),
      () => this.#tunnels.delete(stream),
      service === 'web' ? WEB_WINDOW : INITIAL_CREDIT,
    );
    tunnel.on('error', () => {}); // Users of the tunnel get the event `close`.
    this.#tunnels.set(stream, tunnel);
    this.#onTunnel(tunnel, service);
  }
}
