import type { Client } from '../clients.ts';
import type { Format } from './format.ts';
import { json } from './json.ts';
import { toml } from './toml.ts';
import { yaml } from './yaml.ts';

export const FORMATS: Readonly<Record<Client['format'], Format>> = { json, toml, yaml };
