import { describe, expect, it } from 'vitest';
import { GloveboxError } from '../errors.ts';
import { type GloveboxOptions, readOptions } from './options.ts';

/** What is thrown for options that the types do not allow. */
function refusal(options: unknown): { message: string; hint: string } {
  try {
    readOptions(options as GloveboxOptions);
  } catch (error) {
    if (error instanceof GloveboxError && error.code === 'invalid_input') return error;
    throw error;
  }
  throw new Error('it was understood');
}

describe('options of the library', () => {
  it('are the settings in camelCase, checked by the same schema', () => {
    const config = readOptions({ engine: 'docker', image: 'slim', memoryMb: 512, packagesAllow: ['numpy>=2,<3'] });
    expect(config).toMatchObject({ image: 'slim', memoryMb: 512, diskMb: 256, packagesAllow: ['numpy>=2,<3'] });
  });

  it('leave the machine as it is and are quiet, unless they say otherwise', () => {
    expect(readOptions({})).toMatchObject({ setup: 'never', logLevel: 'warn' });
    expect(readOptions({ setup: 'auto', logLevel: undefined })).toMatchObject({ setup: 'auto', logLevel: 'warn' });
  });

  it('do not come from the environment of a server', () => {
    process.env['GLOVEBOX_MEMORY_MB'] = '77';
    try {
      expect(readOptions({}).memoryMb).toBe(1024);
    } finally {
      delete process.env['GLOVEBOX_MEMORY_MB'];
    }
  });

  it.each([
    [{ memroyMb: 1 }, '"memroyMb" is not an option.', 'Did you mean "memoryMb"?'],
    [{ memory_mb: 1 }, '"memory_mb" is not an option.', 'Did you mean "memoryMb"?'],
    [{ enigne: 'docker' }, '"enigne" is not an option.', 'Did you mean "engine"?'],
    [{ constructor: 1 }, '"constructor" is not an option.', 'docs/settings.md'],
    [{ port: 8000 }, 'port is a setting of servers', 'glovebox serve'],
    [{ apiKeysFile: 'x' }, 'apiKeysFile is a setting of servers', 'glovebox serve'],
    [{ memoryMb: -1 }, 'memoryMb is -1: it must be 64 to 1048576.', 'Memory of one sandbox'],
    [{ cpus: true }, 'cpus is true', 'Correct it'],
    [{ cpus: null }, 'cpus is null', 'Correct it'],
    [{ setup: 'maybe' }, 'setup is "maybe": it must be auto or never.', 'Correct it'],
    [{ engine: 'kubernets' }, 'engine is "kubernets": it must be docker or kubernetes.', 'What runs the sandboxes'],
    [{ onProgress: 'yes' }, 'onProgress is no function.', 'function'],
    [{ onShutdown: 'keep' }, 'onShutdown is "keep", and no instance is named.', 'instance'],
    [{ maxMemoryMb: 512 }, 'maxMemoryMb is 512, and one sandbox may take 1024 MiB.', 'lower memoryMb'],
    [{ execTimeoutS: 20, maxTimeoutS: 10 }, 'execTimeoutS is 20, above the highest, 10.', 'raise maxTimeoutS'],
    ['slim', 'The options of Glovebox.open are no object.', 'Glovebox.open({'],
    [null, 'The options of Glovebox.open are no object.', 'Glovebox.open({'],
  ])('refuse %j and say what to write', (options, message, hint) => {
    const { message: said, hint: next } = refusal(options);
    expect(said).toContain(message);
    expect(next).toContain(hint);
  });
});
