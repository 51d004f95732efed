// Reads librechat.yaml as LibreChat does, and prints the servers that it finds in it.
import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { configSchema, MCPServersSchema } from 'librechat-data-provider';

const config = load(readFileSync(process.argv[2], 'utf8'));
configSchema.strict().parse({ version: '1.3.0', ...config });
process.stdout.write(JSON.stringify(MCPServersSchema.parse(config.mcpServers)));
