import { describe, expect, test } from 'vitest';
import { type AnyTool, describeTool } from './description.ts';
import { createTools } from './index.ts';

const LIMITS = {
  execTimeoutS: 30,
  installTimeoutS: 60,
  maxTimeoutS: 3600,
  codeLimit: 1024,
  memoryMb: 512,
};
const tools = createTools(LIMITS, (text) => ({ name: text, text }), { servers: () => [], catalog: async () => [] });

/** The least that any tool answers, all tools' fields together. */
const OUTPUT = {
  session_id: 'gbx_1',
  execution_id: 'e1',
  status: 'ok',
  exit_code: 0,
  stdout: '',
  stderr: '',
  files: [],
  packages: [],
  log: '',
  path: 'a.txt',
  size: 1,
  offset: 0,
  encoding: 'text',
  content: 'a',
  duration_ms: 1,
  next: { stdout_offset: 0, stderr_offset: 0 },
};
const RESET = { reason: 'sandbox_lost', lost: ['files', 'packages'], restored_from: '2026-01-02T03:04:05Z' };

const canTellALoss = (tool: AnyTool) => 'session_reset' in (describeTool(tool).outputSchema['properties'] as object);

describe('what a session has lost', () => {
  test('is told by every tool that works in the sandbox', () => {
    const silent = tools.filter((tool) => !canTellALoss(tool)).map(({ name }) => name);
    expect(silent).toEqual([
      'search_tools',
      'list_processes',
      'send_input',
      'send_signal',
      'snapshot_session',
      'fork_session',
      'list_sessions',
      'close_session',
    ]);
  });

  test.each(tools.filter(canTellALoss).map((tool) => [tool.name, tool] as const))(
    'is in the text of %s, with the time that files are from',
    (_name, tool) => {
      const text = tool.summarize({ ...OUTPUT, session_reset: RESET } as { session_id: string });
      expect(text).toContain(
        '[session_reset] sandbox_lost: lost files, packages; files are those of 2026-01-02T03:04:05Z',
      );
      expect(tool.summarize(OUTPUT)).not.toContain('session_reset');
    },
  );
});

describe('annotations', () => {
  const having = (hint: 'readOnlyHint' | 'destructiveHint' | 'openWorldHint') =>
    tools.filter((tool) => describeTool(tool).annotations[hint]).map(({ name }) => name);

  test('are true of what each tool does: a snapshot or a fork destroys nothing, an installation reaches out', () => {
    expect(having('readOnlyHint')).toEqual([
      'search_tools',
      'list_installed_packages',
      'read_file',
      'list_files',
      'get_execution',
      'list_processes',
      'list_sessions',
    ]);
    expect(having('destructiveHint')).toEqual([
      'execute_python',
      'run_command',
      'install_dependencies',
      'write_file',
      'delete_file',
      'cancel_execution',
      'send_signal',
      'close_session',
    ]);
    expect(having('openWorldHint')).toEqual(['search_tools', 'install_dependencies']);
  });
});
