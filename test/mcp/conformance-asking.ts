import { createHmac, randomBytes } from 'node:crypto';
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  inputRequired,
  type McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from '@modelcontextprotocol/server';
import type { McpTool } from '../../src/mcp/tool.ts';
import { fixture, text } from './conformance-fixture.ts';

/** Fixtures that ask the client for something: as requests of their own in the older protocols, as `input_required` in the newest. */

type Envelope = { [CLIENT_CAPABILITIES_META_KEY]?: { sampling?: object; elicitation?: object } } | undefined;

const KEY = randomBytes(32);
const sign = (state: string) => `${state}.${createHmac('sha256', KEY).update(state).digest('hex')}`;

/** The state that the client sent back, unless it was changed on the way. */
function readState({ mcpReq }: ServerContext): string | undefined {
  const signed = mcpReq.requestState();
  if (signed === undefined) return undefined;
  const state = String(signed).split('.')[0] ?? '';
  if (sign(state) === signed) return state;
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'The requestState was changed.');
}

const form = (message: string, field: string, type: 'string' | 'boolean' = 'string') =>
  inputRequired.elicit({
    message,
    requestedSchema: {
      type: 'object',
      properties: { [field]: type === 'string' ? { type: 'string' } : { type: 'boolean' } },
      required: [field],
    },
  });
const question = (value: string, maxTokens: number) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: value } }], maxTokens });
const answered = ({ mcpReq }: ServerContext, ...keys: string[]) =>
  keys.every((key) => mcpReq.inputResponses !== undefined && key in mcpReq.inputResponses);

/** On the call's own stream: what the SDK sends without it waits for a GET stream that may not be open yet, and is lost. */
const alongside = ({ id }: ServerContext['mcpReq']) => ({ relatedRequestId: id });

const pushingTools: readonly McpTool[] = [
  fixture(
    'test_sampling',
    async ({ prompt }, { mcpReq }) => {
      const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: String(prompt) } }];
      const { content } = await mcpReq.requestSampling({ messages, maxTokens: 100 }, alongside(mcpReq));
      return text(`LLM response: ${JSON.stringify(content)}`);
    },
    { prompt: { type: 'string' } },
  ),
  fixture(
    'test_elicitation',
    async ({ message }, { mcpReq }) => {
      const { action, content } = await mcpReq.elicitInput(
        {
          message: String(message),
          requestedSchema: {
            type: 'object',
            properties: { username: { type: 'string' }, email: { type: 'string' } },
            required: ['username', 'email'],
          },
        },
        alongside(mcpReq),
      );
      return text(`User response: action=${action}, content=${JSON.stringify(content)}`);
    },
    { message: { type: 'string' } },
  ),
  fixture('test_elicitation_sep1034_defaults', async (_args, { mcpReq }) => {
    const { action, content } = await mcpReq.elicitInput(
      {
        message: 'Please review',
        requestedSchema: {
          type: 'object',
          properties: {
            name: { type: 'string', default: 'John Doe' },
            age: { type: 'integer', default: 30 },
            score: { type: 'number', default: 95.5 },
            status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
            verified: { type: 'boolean', default: true },
          },
        },
      },
      alongside(mcpReq),
    );
    return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`);
  }),
  fixture('test_elicitation_sep1330_enums', async (_args, { mcpReq }) => {
    const options = ['option1', 'option2', 'option3'];
    const titled = ['First', 'Second', 'Third'].map((title, at) => ({ const: `value${at + 1}`, title }));
    const { action, content } = await mcpReq.elicitInput(
      {
        message: 'Please choose',
        requestedSchema: {
          type: 'object',
          properties: {
            untitledSingle: { type: 'string', enum: options },
            titledSingle: { type: 'string', oneOf: titled },
            legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
            untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
            titledMulti: { type: 'array', items: { anyOf: titled } },
          },
        },
      },
      alongside(mcpReq),
    );
    return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`);
  }),
];

const askName = () => form('What is your name?', 'name');

const returningTools: readonly McpTool[] = [
  fixture('test_input_required_result_elicitation', async (_args, { mcpReq }) => {
    const given = acceptedContent<{ name: string }>(mcpReq.inputResponses, 'user_name');
    if (typeof given?.name === 'string') return text(`Hello, ${given.name}!`);
    return inputRequired({ inputRequests: { user_name: askName() } });
  }),
  fixture('test_input_required_result_sampling', async (_args, context) => {
    if (answered(context, 'capital_question')) return text(JSON.stringify(context.mcpReq.inputResponses));
    return inputRequired({ inputRequests: { capital_question: question('What is the capital of France?', 100) } });
  }),
  fixture('test_input_required_result_list_roots', async (_args, context) => {
    if (answered(context, 'client_roots')) return text(JSON.stringify(context.mcpReq.inputResponses));
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  }),
  ...['test_input_required_result_request_state', 'test_input_required_result_tampered_state'].map((name) =>
    fixture(name, async (_args, context) => {
      if (readState(context) === 'asked' && answered(context, 'confirm')) return text('state-ok');
      const confirm = form('Please confirm', 'ok', 'boolean');
      return inputRequired({ inputRequests: { confirm }, requestState: sign('asked') });
    }),
  ),
  fixture('test_input_required_result_multiple_inputs', async (_args, context) => {
    if (answered(context, 'user_name', 'greeting', 'client_roots')) return text(`all there: ${readState(context)}`);
    return inputRequired({
      inputRequests: {
        user_name: askName(),
        greeting: question('Generate a greeting', 50),
        client_roots: inputRequired.listRoots(),
      },
      requestState: sign('asked'),
    });
  }),
  fixture('test_input_required_result_multi_round', async (_args, context) => {
    const state = readState(context);
    if (state === 'round2' && answered(context, 'step2')) return text('Done.');
    if (state === 'round1' && answered(context, 'step1')) {
      const step2 = form('Step 2: What is your favorite color?', 'color');
      return inputRequired({ inputRequests: { step2 }, requestState: sign('round2') });
    }
    const step1 = form('Step 1: What is your name?', 'name');
    return inputRequired({ inputRequests: { step1 }, requestState: sign('round1') });
  }),
  fixture('test_input_required_result_capabilities', async (_args, { mcpReq }) => {
    const declared = (mcpReq.envelope as Envelope)?.[CLIENT_CAPABILITIES_META_KEY];
    return inputRequired({
      inputRequests: {
        ...(declared?.sampling ? { sampled: question('Say something', 10) } : {}),
        ...(declared?.elicitation ? { user_name: askName() } : {}),
      },
    });
  }),
  ...['test_missing_capability', 'test_streaming_elicitation'].map((name) =>
    fixture(name, async () =>
      inputRequired({
        inputRequests:
          name === 'test_missing_capability' ? { sampled: question('Say something', 10) } : { user_name: askName() },
      }),
    ),
  ),
];

export const askingTools: readonly McpTool[] = [...pushingTools, ...returningTools];

export function registerAskingPrompt(server: McpServer): void {
  server.registerPrompt(
    'test_input_required_result_prompt',
    { description: 'Conformance fixture.' },
    async ({ mcpReq }) => {
      const given = acceptedContent<{ context: string }>(mcpReq.inputResponses, 'user_context');
      if (given) return { messages: [{ role: 'user', content: { type: 'text', text: `Context: ${given.context}` } }] };
      return inputRequired({ inputRequests: { user_context: form('What context should the prompt use?', 'context') } });
    },
  );
}
