/** One call of a tool, made by a model without code. */
export interface DirectCall {
  readonly server: string;
  readonly tool: string;
  readonly arguments: Record<string, unknown>;
}

/** Texts of the results so far, the newest last. */
type Seen = readonly string[];

/** The same task done in two ways. */
export interface Task {
  readonly name: string;
  /** Turns of a model that calls tools itself: what it calls next, by what it has seen. It never calls one in vain. */
  readonly direct: readonly ((seen: Seen, data: string) => readonly DirectCall[])[];
  /** What a model that writes code looks for first. */
  readonly search: readonly string[];
  /** The program that it writes then. */
  readonly code: (data: string) => string;
  /** What its output must have. */
  readonly expected: RegExp;
}

const files = (tool: string, args: Record<string, unknown>): DirectCall => ({ server: 'files', tool, arguments: args });
const sqlite = (tool: string, query: string): DirectCall => ({ server: 'sqlite', tool, arguments: { query } });

/** Rows of a CSV file in a result. */
function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => /^\d+,/.test(line));
  return lines.map((line) => line.split(','));
}

const ORDERS = 'SELECT id, customer, amount FROM orders';
const NOTES = Array.from({ length: 20 }, (_, at) => `note-${at}.md`);

export const TASKS: readonly Task[] = [
  {
    name: 'add two numbers',
    direct: [() => [{ server: 'everything', tool: 'get-sum', arguments: { a: 17, b: 25 } }]],
    expected: /The sum of 17 and 25 is 42/,
    search: ['sum'],
    code: () => 'import tools\nprint(tools.everything.get_sum(a=17, b=25))',
  },
  {
    name: 'read a short note',
    direct: [(_, data) => [files('read_text_file', { path: `${data}/note-3.md` })]],
    expected: /\w/,
    search: ['read text file'],
    code: (data) => `import tools\nprint(tools.files.read_text_file(path="${data}/note-3.md")["content"])`,
  },
  {
    name: 'write a short note',
    direct: [(_, data) => [files('write_file', { path: `${data}/new.md`, content: 'Call Ada on Monday.\n' })]],
    expected: /\[ok\]/,
    search: ['write file'],
    code: (data) => `import tools\ntools.files.write_file(path="${data}/new.md", content="Call Ada on Monday.\\n")`,
  },
  {
    name: 'a total of 500 rows, which the database computes',
    direct: [() => [sqlite('read_query', 'SELECT SUM(amount) FROM orders')]],
    expected: /24\d{3}/,
    search: ['query'],
    code: () => 'import tools\nprint(tools.sqlite.read_query(query="SELECT SUM(amount) FROM orders"))',
  },
  {
    name: 'the median of a column of a file of 500 rows',
    direct: [(_, data) => [files('read_text_file', { path: `${data}/orders.csv` })]],
    expected: /^\d+\.\d+$/m,
    search: ['read text file'],
    code: (data) => `import io, tools
import pandas as pd
text = tools.files.read_text_file(path="${data}/orders.csv")["content"]
print(pd.read_csv(io.StringIO(text))["amount"].median())`,
  },
  {
    name: 'join 500 rows of a database with a file of 60 customers, totals by city',
    direct: [(_, data) => [files('read_text_file', { path: `${data}/customers.csv` }), sqlite('read_query', ORDERS)]],
    expected: /Ghent +\d+/,
    search: ['read text file', 'query'],
    code: (data) => `import ast, io, tools
import pandas as pd
customers = pd.read_csv(io.StringIO(tools.files.read_text_file(path="${data}/customers.csv")["content"]))
orders = pd.DataFrame(ast.literal_eval(tools.sqlite.read_query(query="${ORDERS}")))
print(orders.merge(customers, on="customer").groupby("city")["amount"].sum().to_string())`,
  },
  {
    name: 'the most frequent words of 20 notes',
    direct: [(_, data) => [files('read_multiple_files', { paths: NOTES.map((name) => `${data}/${name}`) })]],
    expected: /'the', \d+/,
    search: ['read files'],
    code: (data) => `import collections, re, tools
paths = [f"${data}/note-{n}.md" for n in range(20)]
texts = tools.map(lambda path: tools.files.read_text_file(path=path)["content"], paths)
print(collections.Counter(re.findall(r"\\w+", " ".join(texts).lower())).most_common(5))`,
  },
  {
    name: 'commits of each author in the last 200',
    direct: [
      (_, data) => [
        { server: 'git', tool: 'git_log', arguments: { repo_path: `${data}/../repository`, max_count: 200 } },
      ],
    ],
    expected: /'Ada': \d+/,
    search: ['git log'],
    code: (data) => `import collections, re, tools
log = str(tools.git.git_log(repo_path="${data}/../repository", max_count=200))
print(collections.Counter(re.findall(r"Author: (\\w+)", log)))`,
  },
  {
    name: 'copy 100 rows of a database into a file',
    direct: [
      () => [sqlite('read_query', `${ORDERS} WHERE id <= 100`)],
      ([rows = ''], data) => {
        const lines = [...rows.matchAll(/'id': (\d+), 'customer': (\d+), 'amount': ([\d.]+)/g)];
        const content = ['id,customer,amount', ...lines.map(([, ...cells]) => cells.join(','))].join('\n');
        return [files('write_file', { path: `${data}/copy.csv`, content: `${content}\n` })];
      },
    ],
    expected: /files.write_file ok/,
    search: ['query', 'write file'],
    code: (data) => `import ast, tools
import pandas as pd
rows = ast.literal_eval(tools.sqlite.read_query(query="${ORDERS} WHERE id <= 100"))
tools.files.write_file(path="${data}/copy.csv", content=pd.DataFrame(rows).to_csv(index=False))`,
  },
  {
    name: 'put 60 customers of a file into a knowledge graph',
    direct: [
      (_, data) => [files('read_text_file', { path: `${data}/customers.csv` })],
      ([text = '']) => [
        {
          server: 'memory',
          tool: 'create_entities',
          arguments: {
            entities: rowsOf(text).map(([id, city]) => ({
              ...{ name: `customer ${id}`, entityType: 'customer', observations: [`lives in ${city}`] },
            })),
          },
        },
      ],
    ],
    expected: /done/,
    search: ['read text file', 'create entities'],
    code: (data) => `import csv, io, tools
text = tools.files.read_text_file(path="${data}/customers.csv")["content"]
made = tools.memory.create_entities(entities=[
    {"name": f"customer {row['customer']}", "entityType": "customer", "observations": [f"lives in {row['city']}"]}
    for row in csv.DictReader(io.StringIO(text))
])
print("done")`,
  },
];
