import { createHash } from 'node:crypto';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';

/** A real wheel: pip and uv install it. */
export interface TestWheel {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly content: Buffer;
  readonly metadata: Buffer;
}

/** Builds a wheel of one pure-Python module. */
export function makeWheel(
  name: string,
  version: string,
  {
    requires = [],
    files = {},
    commands = {},
    padding = 0,
    zeros = 0,
  }: {
    requires?: string[];
    files?: Record<string, string>;
    /** What they print, by their names. */
    commands?: Record<string, string>;
    /** Bytes that cannot be packed, and bytes that take no room when they are. */
    padding?: number;
    zeros?: number;
  } = {},
): TestWheel {
  const module = name.replace(/[-.]+/g, '_');
  const info = `${module}-${version}.dist-info`;
  const metadata = `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n${requires.map((one) => `Requires-Dist: ${one}\n`).join('')}`;
  const entries: Record<string, string | Buffer> = {
    [`${module}/__init__.py`]: `__version__ = ${JSON.stringify(version)}\n`,
    ...files,
    ...commandFiles(module, info, commands),
    ...(zeros > 0 ? { [`${module}/zeros.bin`]: Buffer.alloc(zeros) } : {}),
    ...(padding > 0 ? { [`${module}/padding.bin`]: noise(padding) } : {}),
    [`${info}/METADATA`]: metadata,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  };
  const record = Object.entries(entries).map(([path, content]) => {
    const digest = createHash('sha256').update(content).digest('base64url');
    return `${path},sha256=${digest},${Buffer.byteLength(content)}\n`;
  });
  entries[`${info}/RECORD`] = `${record.join('')}${info}/RECORD,,\n`;
  const filename = `${module}-${version}-py3-none-any.whl`;
  return { name, version, filename, content: makeZip(entries), metadata: Buffer.from(metadata) };
}

function commandFiles(module: string, info: string, commands: Readonly<Record<string, string>>) {
  const names = Object.keys(commands);
  if (names.length === 0) return {};
  const functions = Object.values(commands).map((text, at) => `def run_${at}(): print(${JSON.stringify(text)})\n`);
  const points = names.map((name, at) => `${name} = ${module}.commands:run_${at}\n`);
  return {
    [`${module}/commands.py`]: functions.join(''),
    [`${info}/entry_points.txt`]: `[console_scripts]\n${points.join('')}`,
  };
}

/** A zip file (APPNOTE.TXT 4.3); only what is all zeros is compressed. */
function makeZip(entries: Readonly<Record<string, string | Buffer>>): Buffer {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  let at = 0;
  for (const [path, text] of Object.entries(entries)) {
    const [name, content] = [Buffer.from(path), Buffer.from(text)];
    const isPacked = path.endsWith('/zeros.bin');
    const stored = isPacked ? deflateRawSync(content) : content;
    // Version needed, flags, method, time, date, crc, sizes, lengths of name and extra.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(isPacked ? 8 : 0, 4);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(stored.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(name.length, 22);
    local.push(Buffer.from('PK\x03\x04'), common, name, stored);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((0o100644 << 16) >>> 0, 6);
    rest.writeUInt32LE(at, 10);
    central.push(Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, rest, name);
    at += 30 + name.length + stored.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(entries).length, 4);
  end.writeUInt16LE(Object.keys(entries).length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...local, directory, Buffer.from('PK\x05\x06'), end]);
}

/** Bytes that do not repeat, the same each time. */
export function noise(length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, index) =>
    createHash('sha512').update(`${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

/** A source archive that any installer builds without a network; `buildCode` is Python that runs as it is built. */
export function makeSdist(name: string, version: string, buildCode = ''): TestWheel {
  const wheel = makeWheel(name, version);
  const backend = `import base64, os
${buildCode}
def build_wheel(directory, config_settings=None, metadata_directory=None):
    with open(os.path.join(directory, ${JSON.stringify(wheel.filename)}), 'wb') as file:
        file.write(base64.b64decode('${wheel.content.toString('base64')}'))
    return ${JSON.stringify(wheel.filename)}
`;
  const root = `${name.replace(/[-.]+/g, '_')}-${version}`;
  const content = makeTarGz({
    [`${root}/PKG-INFO`]: wheel.metadata,
    [`${root}/pyproject.toml`]: '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    [`${root}/backend.py`]: backend,
  });
  return { ...wheel, filename: `${root}.tar.gz`, content };
}

/** A POSIX ustar archive, compressed. */
function makeTarGz(entries: Readonly<Record<string, string | Buffer>>): Buffer {
  const blocks = Object.entries(entries).flatMap(([path, text]) => {
    const content = Buffer.from(text);
    const header = Buffer.alloc(512);
    header.write(path, 0);
    header.write(`0000644\0${'0000000\0'.repeat(2)}`, 100);
    header.write(`${content.length.toString(8).padStart(11, '0')} 00000000000 `, 124);
    header.write('        0', 148);
    header.write('ustar\x0000', 257);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}
