// Writes docs/settings.md from the schema of the settings; src/config/settings-page.test.ts fails where they differ.
import { writeFileSync } from 'node:fs';
import { describeSubjects, type SettingDescription } from '../src/config/describe.ts';

/** Where the page is. */
export const SETTINGS_PAGE = new URL('../docs/settings.md', import.meta.url);

const INTRODUCTION = `# Settings

<!-- Written by "npm run docs:settings" from the schema in src/config. Change the text there. -->

Each setting can be given in three ways. A flag wins over the file, and the file wins over the environment.

| where                | how                                                                | example                               |
| -------------------- | ------------------------------------------------------------------ | ------------------------------------- |
| environment variable | \`GLOVEBOX_\` and the name in capital letters                        | \`GLOVEBOX_EXEC_TIMEOUT_S=60 npm start\` |
| configuration file   | a JSON file, named by \`GLOVEBOX_CONFIG\` or \`--config\`              | \`{"exec_timeout_s": 60}\`              |
| flag                 | \`--\` and the name with hyphens                                     | \`npm start -- --exec-timeout-s 60\`    |

The library takes the same settings as options in camelCase: \`Glovebox.open({ execTimeoutS: 60 })\`.

A list is separated by commas: \`GLOVEBOX_ALLOWED_HOSTS=box.example,192.168.1.5\`. In the file it may be a JSON list.
Sizes in MiB end with \`_mb\`, times in seconds with \`_s\`. A name that does not exist, or a value that is not allowed,
ends the start with a message that says what to write instead.

The container engine, proxies and certificates are found by the usual variables: \`DOCKER_HOST\`, \`DOCKER_CONTEXT\`,
\`HTTPS_PROXY\`, \`NO_PROXY\`, \`SSL_CERT_FILE\`. Traces and metrics go to a collector by the variables of OpenTelemetry,
such as \`OTEL_EXPORTER_OTLP_ENDPOINT\` ([Traces and metrics](telemetry.md#settings)).
`;

/** The whole text of `docs/settings.md`. */
export function settingsPage(): string {
  const sections = describeSubjects().map(({ subject, settings }) =>
    [
      `## ${subject}`,
      '',
      '| setting | meaning | values | default | example |',
      '| --- | --- | --- | --- | --- |',
      ...settings.map(describeRow),
      '',
    ].join('\n'),
  );
  return [INTRODUCTION, ...sections].join('\n');
}

function describeRow(setting: SettingDescription): string {
  const { name, meaning, example } = setting;
  return `| \`${name}\` | ${escapeCell(meaning)} | ${describeValues(setting)} | ${describeDefault(setting)} | \`${example}\` |`;
}

function describeValues({ type, allowed }: SettingDescription): string {
  if (type === 'word')
    return allowed
      .split('|')
      .map((word) => `\`${word}\``)
      .join(', ');
  if (type === 'list') return 'list, separated by commas';
  return allowed === '' ? type : `${type}, ${allowed}`;
}

function describeDefault({ default: value, computedDefault, type }: SettingDescription): string {
  if (computedDefault !== '') return escapeCell(computedDefault);
  if (value !== '') return `\`${value}\``;
  return type === 'list' ? 'empty' : 'not set';
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|');
}

if (import.meta.main) writeFileSync(SETTINGS_PAGE, settingsPage());
