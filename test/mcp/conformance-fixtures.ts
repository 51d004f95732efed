import { completable, type McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { McpTool } from '../../src/mcp/tool.ts';
import { askingTools, registerAskingPrompt } from './conformance-asking.ts';
import { fixture, text } from './conformance-fixture.ts';

/** What the conformance suite wants of a server besides what ours offers; its scenarios say so in their descriptions. */
export function addConformanceFixtures(server: McpServer): readonly McpTool[] {
  server.server.registerCapabilities({
    logging: {},
    prompts: { listChanged: false },
    resources: { subscribe: true, listChanged: false },
  });
  registerResources(server);
  registerPrompts(server);
  registerAskingPrompt(server);
  return [...CONTENT_TOOLS, ...TALKING_TOOLS, ...askingTools];
}

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';
const image = { type: 'image', data: PNG, mimeType: 'image/png' } as const;
const embedded = (uri: string, content: string) =>
  ({ type: 'resource', resource: { uri, mimeType: 'text/plain', text: content } }) as const;
/** The suite asks for gaps of about this length between notifications. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

const CONTENT_TOOLS: readonly McpTool[] = [
  fixture('test_simple_text', async () => text('This is a simple text response for testing.')),
  fixture('test_image_content', async () => ({ content: [image] })),
  fixture('test_audio_content', async () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] })),
  fixture('test_embedded_resource', async () => ({
    content: [embedded('test://embedded-resource', 'This is an embedded resource content.')],
  })),
  fixture('test_multiple_content_types', async () => ({
    content: [
      { type: 'text', text: 'Multiple content types test:' },
      image,
      embedded('test://mixed-content-resource', '{"test":"data","value":123}'),
    ],
  })),
  fixture('test_error_handling', async () => ({
    ...text('This tool intentionally returns an error for testing'),
    isError: true,
  })),
];

const TALKING_TOOLS: readonly McpTool[] = [
  fixture('test_tool_with_logging', async (_args, { mcpReq }) => {
    for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await mcpReq.log('info', line);
      await pause();
    }
    return text('Logged.');
  }),
  fixture('test_logging_tool', async (_args, { mcpReq }) => {
    await mcpReq.log('info', 'Only for those who asked for it.');
    return text('Logged.');
  }),
  fixture('test_tool_with_progress', async (_args, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      }
      await pause();
    }
    return text('Progressed.');
  }),
];

function registerResources(server: McpServer): void {
  const plain = { mimeType: 'text/plain' };
  server.registerResource('static-text', 'test://static-text', plain, async ({ href: uri }) => ({
    contents: [{ uri, ...plain, text: 'This is the content of the static text resource.' }],
  }));
  server.registerResource(
    'static-binary',
    'test://static-binary',
    { mimeType: 'image/png' },
    async ({ href: uri }) => ({
      contents: [{ uri, mimeType: 'image/png', blob: PNG }],
    }),
  );
  server.registerResource('watched', 'test://watched-resource', plain, async ({ href: uri }) => ({
    contents: [{ uri, ...plain, text: 'Watched.' }],
  }));
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  server.registerResource('template', template, { mimeType: 'application/json' }, async ({ href: uri }, { id }) => ({
    contents: [
      {
        uri,
        mimeType: 'application/json',
        text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
      },
    ],
  }));
  server.server.setRequestHandler('resources/subscribe', () => ({}));
  server.server.setRequestHandler('resources/unsubscribe', () => ({}));
}

function registerPrompts(server: McpServer): void {
  const said = (value: string) => ({ role: 'user', content: { type: 'text', text: value } }) as const;
  server.registerPrompt('test_simple_prompt', { description: 'Conformance fixture.' }, async () => ({
    messages: [said('This is a simple prompt for testing.')],
  }));
  const word = completable(z.string(), (start) => ['test', 'testing', 'paris'].filter((one) => one.startsWith(start)));
  server.registerPrompt(
    'test_prompt_with_arguments',
    { description: 'Conformance fixture.', argsSchema: z.object({ arg1: word, arg2: z.string() }) },
    async ({ arg1, arg2 }) => ({ messages: [said(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)] }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'Conformance fixture.', argsSchema: z.object({ resourceUri: z.string() }) },
    async ({ resourceUri }) => ({
      messages: [
        { role: 'user', content: embedded(resourceUri, 'Embedded resource content for testing.') },
        said('Please process the embedded resource above.'),
      ],
    }),
  );
  server.registerPrompt('test_prompt_with_image', { description: 'Conformance fixture.' }, async () => ({
    messages: [{ role: 'user', content: image }, said('Please analyze the image above.')],
  }));
}
