/**
 * Builds `migrations/` from `schemas/` and the default policies: `npm run sql:build`, or `--check` to compare only.
 *
 * Until a version is released the migrations are rebuilt; from then on a change is a new migration (see README.md here).
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { defaultPolicies, policyJsonSchemas } from '../policies/index.js'

const here = fileURLToPath(new URL('.', import.meta.url))

/** What every file under `migrations/` must contain, by file name. */
export async function buildMigrations(): Promise<Record<string, string>> {
  const files = (await readdir(join(here, 'schemas'))).filter((name) => /^\d\d_.*\.sql$/.test(name)).sort()
  return {
    '0001_ops_schema.sql': await migration(
      '0001',
      'ops_schema',
      files.filter((name) => Number(name.slice(0, 2)) < 20),
    ),
    '0002_ops_functions.sql': await migration(
      '0002',
      'ops_functions',
      files.filter((name) => Number(name.slice(0, 2)) >= 20),
      [policySchemas(policyJsonSchemas())],
    ),
    'reaction_matrix_seed.sql': policySeed(defaultPolicies),
  }
}

async function migration(
  version: string,
  name: string,
  files: string[],
  generated: string[] = [],
): Promise<string> {
  const parts = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(here, 'schemas', file), 'utf8')
      return `-- ${rule(file)}\n\n${text.trim()}`
    }),
  )
  return `${[
    `-- ${version} ${name}: generated from supabase/schemas by npm run sql:build. Released files are never edited.`,
    ...parts,
    ...generated,
    `-- ${rule('bookkeeping')}\n\ninsert into ops.migrations (version, name) values ('${version}', '${name}');`,
  ].join('\n\n')}\n`
}

function rule(title: string): string {
  return `${title} ${'-'.repeat(Math.max(3, 106 - title.length))}`
}

/** The schemas that a trigger on `ops_policy` and the gate check against. */
function policySchemas(schemas: Record<string, unknown>): string {
  const rows = Object.entries(schemas).map(
    ([key, schema]) => `  (${literal(key)}, ${dollarQuoted(JSON.stringify(schema, null, 2))})`,
  )
  return `-- ${rule('policies/schemas')}

insert into ops.policy_schemas (key, schema) values
${rows.join(',\n')}
on conflict (key) do update set schema = excluded.schema;`
}

/** The default policies; what an operator has changed stays. */
function policySeed(policies: Record<string, unknown>): string {
  const rows = Object.entries(policies).map(
    ([key, value]) => `  (${literal(key)}, ${dollarQuoted(JSON.stringify(value, null, 2))})`,
  )
  return `-- The default policies: generated from policies/default by npm run sql:build. Run it as often as you like: a policy that
-- exists is left as it is.

insert into public.ops_policy (key, value) values
${rows.join(',\n')}
on conflict (key) do nothing;
`
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function dollarQuoted(json: string): string {
  if (json.includes('$json$'))
    throw new Error('a policy contains the text $json$, which ends its own quotation')
  return `$json$${json}$json$`
}

async function main(): Promise<void> {
  const check = process.argv.includes('--check')
  const folder = join(here, 'migrations')
  await mkdir(folder, { recursive: true })
  for (const [name, expected] of Object.entries(await buildMigrations())) {
    const file = join(folder, name)
    const actual = existsSync(file) ? await readFile(file, 'utf8') : undefined
    if (actual === expected) continue
    if (check) {
      console.error(
        `supabase/migrations/${name} is not what supabase/schemas and policies make: run npm run sql:build`,
      )
      process.exitCode = 1
    } else {
      await writeFile(file, expected)
      console.log(`supabase/migrations/${name} written`)
    }
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main()
