import type { Duplex } from 'node:stream';
import type { Report } from '../../src/execution/report.ts';
import type { ExecutionRequest } from '../../src/execution/request.ts';
import {
  encodeFrame,
  FIRST_KEPT,
  FrameDecoder,
  FrameType,
  INITIAL_CREDIT,
  PROTOCOL_VERSION,
} from '../../src/protocol/frames.ts';
import { REPORT } from './report.ts';

/** What code does in a fake sandbox; resolves with its exit status. */
export type FakeProgram = (run: FakeRun) => Promise<number>;

/** What outlives the programs of a fake sandbox. */
export interface FakeContents {
  /** Texts by their paths. */
  readonly files: Map<string, string>;
  /** Processes that no runner ends: they have left it, or killed it. */
  strays: number;
}

/** One execution, as its program sees it. */
export class FakeRun {
  readonly request: ExecutionRequest;
  readonly contents: FakeContents;
  /** Ends the runner as `kill -9` does: nobody reports of what it ran. */
  readonly killRunner: () => void;
  /** The stream that it has on the connection of now. */
  stream: number;
  report: Report | undefined;
  readonly #send: (type: number, stream: number, payload: Buffer) => void;
  readonly #interrupt = Promise.withResolvers<void>();
  readonly #stdin: Buffer[] = [];
  readonly #stdinEnd = Promise.withResolvers<void>();
  #credit = INITIAL_CREDIT;
  #granted = Promise.withResolvers<void>();

  constructor(
    stream: number,
    request: ExecutionRequest,
    contents: FakeContents,
    { send, killRunner }: { send: (type: number, stream: number, payload: Buffer) => void; killRunner: () => void },
  ) {
    this.stream = stream;
    this.request = request;
    this.contents = contents;
    this.killRunner = killRunner;
    this.#send = send;
    if (!request.stdin_stream) this.#stdinEnd.resolve();
  }

  /** Settles when the program is interrupted. */
  get interrupted(): Promise<void> {
    return this.#interrupt.promise;
  }

  /** The whole standard input. */
  async readStdin(): Promise<string> {
    await this.#stdinEnd.promise;
    return this.request.stdin ?? Buffer.concat(this.#stdin).toString();
  }

  /** Resolves when all of it is on its way: a reader that grants nothing holds it up. */
  async print(text: string): Promise<void> {
    for (let rest = Buffer.from(text); rest.length > 0; ) {
      const piece = rest.subarray(0, this.#credit);
      rest = rest.subarray(piece.length);
      this.#credit -= piece.length;
      if (piece.length > 0) this.#send(FrameType.stdout, this.stream, piece);
      if (rest.length > 0) await this.#granted.promise;
    }
  }

  /** Takes a frame that the control plane has sent. */
  take(type: number, payload: Buffer): void {
    if (type === FrameType.stop) this.#interrupt.resolve();
    if (type === FrameType.data) this.#stdin.push(Buffer.from(payload));
    if (type === FrameType.fin) this.#stdinEnd.resolve();
    if (type !== FrameType.credit) return;
    this.#credit += payload.readUInt32BE();
    this.#granted.resolve();
    this.#granted = Promise.withResolvers<void>();
  }
}

/**
 * A stand-in for the runner in a sandbox. It speaks the real protocol over one connection after the other, and keeps
 * background executions from one to the next.
 */
export class FakeRunner {
  readonly #programs: ReadonlyMap<string, FakeProgram>;
  readonly #contents: FakeContents;
  readonly #onKilled: () => void;
  readonly #runs = new Set<FakeRun>();
  #stream: Duplex | undefined;
  /** The highest of the control planes that were let in. */
  #generation = 0;
  #isNew = true;

  /**
   * @param programs by their code
   * @param onKilled hears when a program has killed it
   */
  constructor(programs: ReadonlyMap<string, FakeProgram>, contents: FakeContents, onKilled: () => void) {
    this.#programs = programs;
    this.#contents = contents;
    this.#onKilled = onKilled;
  }

  /** Serves this connection from now on, instead of the last. */
  serve(stream: Duplex, generation = 0): void {
    if (generation < this.#generation) {
      const refusal = { protocol: PROTOCOL_VERSION, refused: 'generation', generation: this.#generation };
      stream.end(encodeFrame(FrameType.ready, 0, Buffer.from(JSON.stringify(refusal))));
      return;
    }
    this.#generation = generation;
    this.#leave();
    this.#stream = stream;
    const executions = [...this.#runs].map((run, index) => {
      run.stream = FIRST_KEPT + index;
      return { id: run.request.keep?.id, stream: run.stream, ran_ms: 1, ended: run.report !== undefined };
    });
    const adopted = this.#isNew ? {} : { adopted: { contexts: [], executions } };
    this.#isNew = false;
    const greeting = { protocol: PROTOCOL_VERSION, stdin_ahead: 1024, ...adopted };
    this.#send(FrameType.ready, 0, Buffer.from(JSON.stringify(greeting)));
    for (const run of this.#runs) this.#tellEnd(run);
    const decoder = new FrameDecoder();
    stream.on('data', (chunk: Buffer) => {
      for (const { type, stream: id, payload } of decoder.decode(chunk)) this.#take(type, id, payload);
    });
    stream.on('error', () => {});
    stream.on('close', () => this.#stream === stream && this.#leave());
  }

  /** Ends it with all that it runs: nobody is told of an end. */
  kill(): void {
    this.#runs.clear();
    this.#leave();
  }

  #take(type: number, id: number, payload: Buffer): void {
    if (type === FrameType.start) this.#start(id, JSON.parse(`${payload}`) as ExecutionRequest);
    const run = [...this.#runs].find(({ stream }) => stream === id);
    run?.take(type, payload);
    if (run && type === FrameType.stop && `${payload}` === 'k')
      this.#end(run, { ...REPORT, exit_code: null, signal: 9 });
  }

  #start(id: number, request: ExecutionRequest): void {
    const send = (type: number, stream: number, payload: Buffer) => {
      if (this.#runs.has(run)) this.#send(type, stream, payload);
    };
    const run = new FakeRun(id, request, this.#contents, { send, killRunner: this.#onKilled });
    this.#runs.add(run);
    const program = this.#programs.get(request.code ?? '');
    if (!program) this.#end(run, { refused: `The fake knows no such program: ${request.code}` });
    void program?.(run).then((exitCode) => this.#end(run, { ...REPORT, exit_code: exitCode }));
  }

  #end(run: FakeRun, report: Report): void {
    run.report ??= report;
    this.#tellEnd(run);
  }

  /** What has ended while nobody was connected is told to the next who is. */
  #tellEnd(run: FakeRun): void {
    if (!run.report || !this.#stream || !this.#runs.has(run)) return;
    this.#send(FrameType.end, run.stream, Buffer.from(JSON.stringify(run.report)));
    this.#runs.delete(run);
  }

  /** With its connection ends what belongs to calls. */
  #leave(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.destroy();
    for (const run of this.#runs) if (!run.request.background) this.#runs.delete(run);
  }

  #send(type: number, stream: number, payload: Buffer): void {
    this.#stream?.write(encodeFrame(type, stream, payload));
  }
}
