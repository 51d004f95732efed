import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  acceptedContent,
  type CallToolResult,
  type InputRequests,
  type InputResponses,
  inputRequired,
  MissingRequiredClientCapabilityError,
} from '@modelcontextprotocol/server';
import { GloveboxError } from '../../src/errors.ts';
import { EXTENSION_CAPABILITY } from '../../src/mcp/tasks/extension.ts';
import type { TaskCaller, TaskOutcome, TaskSource, TaskState } from '../../src/mcp/tasks/task.ts';
import type { McpTool } from '../../src/mcp/tool.ts';
import { fixture, text } from './conformance-fixture.ts';

type Ask = (...fields: readonly string[]) => Promise<InputResponses>;
type Work = (signal: AbortSignal, ask: Ask) => Promise<CallToolResult>;

interface Entry {
  state: TaskState;
  outcome?: TaskOutcome;
  readonly owner: string;
  readonly given: InputResponses;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
  answered?: () => void;
}

/** Tasks of functions in this process, for what the suite wants of tools that ours have not. */
export class FixtureTasks implements TaskSource {
  readonly #tasks = new Map<string, Entry>();

  begin(owner: string, work: Work): string {
    const id = `task_${randomUUID()}`;
    const stop = new AbortController();
    const now = new Date();
    const times = { createdAt: now, updatedAt: now, ttlMs: 60_000, pollMs: 100 };
    const ended = work(stop.signal, (...fields) => this.#ask(id, fields)).then(
      (result) => this.#end(id, 'completed', { result }),
      (error: Error) => this.#end(id, 'failed', { error: { code: -32_603, message: error.message } }),
    );
    this.#tasks.set(id, { state: { id, status: 'working', message: '', ...times }, owner, given: {}, stop, ended });
    return id;
  }

  get = async (caller: TaskCaller, id: string): Promise<TaskState> => this.#find(caller, id).state;

  async outcome(caller: TaskCaller, id: string): Promise<TaskOutcome> {
    const { outcome } = this.#find(caller, id);
    if (!outcome) throw new Error('It has not ended.');
    return outcome;
  }

  next = async (caller: TaskCaller, id: string): Promise<void> => await this.#find(caller, id).ended;

  async cancel(caller: TaskCaller, id: string): Promise<void> {
    const { stop, ended } = this.#find(caller, id);
    stop.abort();
    await ended;
  }

  async answer(caller: TaskCaller, id: string, responses: InputResponses): Promise<void> {
    const entry = this.#find(caller, id);
    const { inputRequests = {} } = entry.state;
    const taken = Object.entries(responses).filter(([key]) => key in inputRequests);
    Object.assign(entry.given, Object.fromEntries(taken));
    const open = Object.entries(inputRequests).filter(([key]) => !(key in entry.given));
    if (open.length > 0) entry.state = { ...entry.state, inputRequests: Object.fromEntries(open) };
    else entry.answered?.();
  }

  list = async ({ owner }: TaskCaller): Promise<readonly TaskState[]> =>
    [...this.#tasks.values()].filter((entry) => entry.owner === owner).map(({ state }) => state);

  #find({ owner }: TaskCaller, id: string): Entry {
    const entry = this.#tasks.get(id);
    if (entry?.owner !== owner) throw new GloveboxError('execution_not_found', 'No such task.');
    return entry;
  }

  async #ask(id: string, fields: readonly string[]): Promise<InputResponses> {
    await sleep(0); // The task is entered when its work has begun.
    const entry = this.#tasks.get(id);
    if (!entry) throw new Error('No such task.');
    const asked: InputRequests = Object.fromEntries(fields.map((field) => [randomUUID(), form(field)]));
    entry.state = { ...entry.state, status: 'input_required', inputRequests: asked };
    await new Promise<void>((resolve, reject) => {
      entry.answered = resolve;
      entry.stop.signal.addEventListener('abort', () => reject(new Error('cancelled')));
    });
    entry.state = { ...entry.state, status: 'working', inputRequests: undefined };
    return entry.given;
  }

  #end(id: string, status: 'completed' | 'failed', outcome: TaskOutcome): void {
    const entry = this.#tasks.get(id);
    if (!entry) return;
    const isCancelled = entry.stop.signal.aborted;
    entry.outcome = outcome;
    const isError = 'result' in outcome && outcome.result.isError ? { isError: true as const } : {};
    entry.state = { ...entry.state, ...isError, status: isCancelled ? 'cancelled' : status, updatedAt: new Date() };
  }
}

const form = (field: string) =>
  inputRequired.elicit({
    message: `What is the ${field}?`,
    requestedSchema: { type: 'object', properties: { [field]: { type: 'string' } }, required: [field] },
  });

/** A tool that answers with a task wherever the client can follow one. */
function taskTool(tasks: FixtureTasks, name: string, work: (args: Record<string, unknown>) => Work, needsTask = false) {
  const tool = fixture(name, async () => text('unused'));
  return {
    ...tool,
    maybeTask: true,
    call: async (args = {}, { mcpReq }, { owner }, _version, _capabilities, leaving) => {
      if (leaving) {
        leaving.left(tasks.begin(owner, work(args)));
        return text('It goes on.');
      }
      if (needsTask)
        throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: EXTENSION_CAPABILITY } });
      return await work(args)(mcpReq.signal, async () => ({}));
    },
  } satisfies McpTool;
}

/** Tools for the scenarios of the tasks extension. */
export function taskTools(tasks: FixtureTasks): readonly McpTool[] {
  const greetLater = taskTool(tasks, 'test_tool_with_task', (args) => async () => text(`Hello, ${args['name']}!`));
  return [
    fixture('greet', async ({ name }) => text(`Hello, ${name}!`), { name: { type: 'string' } }),
    taskTool(tasks, 'slow_compute', ({ seconds }) => async (signal) => {
      await sleep(Number(seconds) * 1000, undefined, { signal });
      return text('Computed.');
    }),
    taskTool(tasks, 'failing_job', () => async () => ({ ...text('It failed.'), isError: true }), true),
    taskTool(tasks, 'protocol_error_job', () => async () => {
      throw new Error('It broke.');
    }),
    taskTool(tasks, 'confirm_delete', () => async (_signal, ask) => text(JSON.stringify(await ask('confirm')))),
    taskTool(tasks, 'multi_input', () => async (_signal, ask) => text(JSON.stringify(await ask('name', 'confirm')))),
    {
      ...greetLater,
      call: async (args, context, ...rest) => {
        const given = acceptedContent<{ name: string }>(context.mcpReq.inputResponses, 'user_name');
        if (!given) return inputRequired({ inputRequests: { user_name: form('name') } });
        return await greetLater.call({ ...args, ...given }, context, ...rest);
      },
    },
  ];
}
