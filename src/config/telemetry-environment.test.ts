import { expect, it } from 'vitest';
import { readTelemetry } from './telemetry-environment.ts';

const ENDPOINT = 'http://localhost:4318';

it('sends nothing unless a collector is named', () => {
  expect(readTelemetry({})).toBeUndefined();
  expect(readTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_SERVICE_NAME: 'x' })).toBeUndefined();
});

it.each([[{ OTEL_SDK_DISABLED: 'true' }], [{ OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' }]])(
  'sends nothing with %o',
  (more) => {
    expect(readTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT, ...more })).toBeUndefined();
  },
);

it('has the paths, times and names of the specification by default', () => {
  const read = readTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: `${ENDPOINT}/otlp/` });
  expect(read?.traces).toEqual({
    url: new URL(`${ENDPOINT}/otlp/v1/traces`),
    headers: {},
    encoding: 'protobuf',
    isCompressed: false,
    timeoutMs: 10_000,
  });
  expect(read?.metrics?.url.href).toBe(`${ENDPOINT}/otlp/v1/metrics`);
  expect(read).toMatchObject({
    resource: { 'service.name': 'glovebox' },
    sampler: { ratio: 1, respectsCaller: true },
    propagates: true,
  });
});

it('reads what is said for one signal before what is said for all', () => {
  const read = readTelemetry({
    OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT,
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%2Cb, x = y',
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example/in',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'authorization=Basic%20eA==',
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
    OTEL_EXPORTER_OTLP_METRICS_TIMEOUT: '200',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    OTEL_SERVICE_NAME: 'mine',
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,deployment.environment.name=test',
    OTEL_TRACES_SAMPLER: 'traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
    OTEL_PROPAGATORS: 'none',
  });
  expect(read?.traces).toMatchObject({
    url: new URL('https://traces.example/in'),
    headers: { authorization: 'Basic eA==' },
    encoding: 'json',
  });
  expect(read?.metrics).toMatchObject({
    headers: { 'api-key': 'a,b', x: 'y' },
    encoding: 'protobuf',
    isCompressed: true,
    timeoutMs: 200,
  });
  expect(read).toMatchObject({
    resource: { 'service.name': 'mine', 'deployment.environment.name': 'test' },
    sampler: { ratio: 0.25, respectsCaller: false },
    propagates: false,
  });
});

it.each([
  ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', '4318'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost:4318', 'http://localhost:4318'],
  ['OTEL_EXPORTER_OTLP_TIMEOUT', '10s', 'milliseconds'],
  ['OTEL_TRACES_SAMPLER', 'parentbased_always_onn', 'Did you mean parentbased_always_on?'],
  ['OTEL_TRACES_SAMPLER', 'jaeger_remote', 'Values: always_on'],
  ['OTEL_PROPAGATORS', 'b3', 'Values: tracecontext'],
  ['OTEL_TRACES_EXPORTER', 'console', 'Values: otlp'],
  ['OTEL_EXPORTER_OTLP_CERTIFICATE', '/ca.pem', 'SSL_CERT_FILE'],
  ['OTEL_SDK_DISABLED', 'yes', 'Values: true'],
])('refuses %s=%s, and says what to do', (name, value, hint) => {
  expect(() => readTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT, [name]: value })).toThrow(
    expect.objectContaining({
      code: 'invalid_input',
      message: expect.stringContaining(name),
      hint: expect.stringContaining(hint),
    }),
  );
});

it('refuses a part of a trace that is no number', () => {
  const wrong = { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '10%' };
  expect(() => readTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT, ...wrong })).toThrow('OTEL_TRACES_SAMPLER_ARG');
});

it.each(['no-equals-sign-5ecret', 'a=%5ecret%', 'bad name=5ecret', 'a=5ecret%0A'])(
  'refuses the headers %s without telling what is in them',
  (value) => {
    const read = () => readTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: value });
    expect(read).toThrow('OTEL_EXPORTER_OTLP_HEADERS');
    expect(read).not.toThrow('5ecret');
  },
);
