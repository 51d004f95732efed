import { describeSettings } from '../config/describe.ts';

/** What `glovebox --help` prints. */
export function describeProgram(commands: Readonly<Record<string, { readonly summary: string }>>): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  return [
    'Usage: glovebox COMMAND [--setting VALUE …]',
    '       glovebox COMMAND --help | --version',
    '',
    ...lines,
    '',
    ...describeAllSettings(),
  ].join('\n');
}

/** What `glovebox COMMAND --help` prints. */
export function describeCommand(name: string, { summary, usage = '' }: { summary: string; usage?: string }): string {
  const line = `Usage: glovebox ${name}${usage && ` ${usage}`} [--setting VALUE …]`;
  return [line, '', summary, '', ...describeAllSettings()].join('\n');
}

function describeAllSettings(): string[] {
  const settings = describeSettings().flatMap(({ variable, meaning, allowed, default: byDefault }) => {
    const facts = [allowed, byDefault && `default ${byDefault}`].filter(Boolean).join('; ');
    return [`  ${variable.padEnd(32)} ${meaning}`, ...(facts ? [`${''.padEnd(35)} ${facts}`] : [])];
  });
  return [
    'Settings, as variables or as flags (--exec-timeout-s 60), or in the JSON file that GLOVEBOX_CONFIG names:',
    ...settings,
    '',
  ];
}
