import { DisplayCollector, type DisplayLimits } from './displays.ts';
import { LineStates } from './line-states.ts';
import { OutputCapture } from './output-capture.ts';
import type { KeptFile } from './report.ts';
import type { ExecutionEnd, OutputSink } from './request.ts';
import type { CutStream, ExecutionOutput, OnEvent, TextStream } from './result.ts';

export interface OutputLimits {
  /** Most bytes of each text stream in a result. */
  readonly outputLimit: number;
  readonly displays: DisplayLimits;
  /** Whether to keep every byte, for callers that read by offset, instead of the last state of each line. */
  readonly verbatim: boolean;
  /** Whether events have bytes instead of text. */
  readonly asBytes?: boolean | undefined;
}

interface Text {
  readonly capture: OutputCapture;
  readonly lines: LineStates | undefined;
  /** Decodes the events; only if somebody listens, because a decoder is expensive to make. */
  readonly decoder: InstanceType<typeof TextDecoder> | undefined;
  bytes: number;
}

/** Output of one execution: collected for the result, and reported to the caller as it arrives. */
export class OutputStreams {
  readonly #onEvent: OnEvent | undefined;
  readonly #texts: Record<TextStream, Text>;
  readonly #displays: DisplayCollector;
  readonly #asBytes: boolean;

  /** @param onEvent called with output as it arrives */
  constructor({ outputLimit, displays, verbatim, asBytes = false }: OutputLimits, onEvent?: OnEvent) {
    const open = (): Text => ({
      capture: new OutputCapture(outputLimit),
      lines: verbatim ? undefined : new LineStates(),
      decoder: onEvent && !asBytes ? new TextDecoder() : undefined,
      bytes: 0,
    });
    this.#onEvent = onEvent;
    this.#texts = { stdout: open(), stderr: open() };
    this.#displays = new DisplayCollector(displays);
    this.#asBytes = asBytes;
  }

  readonly take: OutputSink = (name, chunk) => {
    if (name === 'display') return this.#display(chunk);
    const text = this.#texts[name];
    text.bytes += chunk.length;
    for (const piece of text.lines?.add(chunk) ?? [chunk]) text.capture.add(piece);
    // A copy: the memory of the chunk is used again.
    if (this.#asBytes) return this.#onEvent?.({ type: name, text: '', bytes: new Uint8Array(chunk) });
    if (!text.decoder) return undefined;
    return this.#tell(name, text.decoder.decode(chunk, { stream: true }));
  };

  /** Takes what is left: lines without an end, and incomplete characters. */
  async finish(): Promise<void> {
    for (const name of ['stdout', 'stderr'] as const) {
      const { capture, lines, decoder } = this.#texts[name];
      if (lines) capture.add(lines.finish());
      if (decoder) await this.#tell(name, decoder.decode());
    }
  }

  /** Returns the part of the output that a result contains. */
  fold({ failure, report }: Pick<ExecutionEnd, 'failure' | 'report'>): ExecutionOutput {
    const stdout = this.#fold('stdout', report?.kept?.stdout);
    const stderr = this.#fold('stderr', report?.kept?.stderr);
    const truncated = {
      ...(stdout.cut ? { stdout: stdout.cut } : {}),
      ...(stderr.cut ? { stderr: stderr.cut } : {}),
    };
    const displays = this.#displays.results;
    return {
      stdout: stdout.text,
      stderr: failure === undefined ? stderr.text : `${stderr.text}${failure}\n`,
      ...(displays.length > 0 ? { displays } : {}),
      ...(stdout.cut || stderr.cut ? { truncated } : {}),
    };
  }

  #fold(name: TextStream, kept: KeptFile | undefined): { text: string; cut?: CutStream } {
    const { capture, bytes } = this.#texts[name];
    const { text, leftOut, total } = capture.result(bytes);
    // Earlier states of lines are mentioned only if a file keeps them.
    const missing = leftOut || (kept ? bytes - capture.bytes : 0);
    if (missing <= 0) return { text };
    const file = kept ? { file: kept.path, fileBytes: kept.bytes } : {};
    return { text, cut: { leftOutBytes: missing, totalBytes: total, ...file } };
  }

  async #display(chunk: Buffer): Promise<void> {
    // Start all of them now, so that events of the next chunk cannot come in between.
    await Promise.all(this.#displays.add(chunk).map((display) => this.#onEvent?.({ type: 'display', display })));
  }

  #tell(type: TextStream, text: string): void | Promise<void> {
    return text === '' ? undefined : this.#onEvent?.({ type, text });
  }
}
