import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import type { Manifest, TableCopy } from '../../backup/manifest.js'
import { engineFromEnv, envSchema, OpsError, readEnv } from '../../engine/index.js'
import { findDatabase, type GlobalOptions, overConnection } from '../connection.js'
import { interruptible } from '../interruptible.js'
import { progress } from '../progress.js'
import { answerFor } from '../session.js'
import { count, table } from '../text.js'
import { since } from '../time.js'

const EXAMPLES = `
Examples:
  ops-loop backup --out backups/2026-01-31 --verify
  ops-loop backup --since 7d                only chains with anything in the last week, or still at work

It holds everything: events, missions, policies, their history. Keep it as you keep the database.`

export function backupCommand(): Command {
  return new Command('backup')
    .description('copy the loop into a folder, as it stands at one moment')
    .option('--out <folder>', 'a folder that does not exist yet (default: ops-loop-backup-<time>)')
    .option('--since <when>', 'only work since then: 7d, 12h, or a date such as 2026-01-31', since)
    .option('--verify', 'restore it into a throwaway Postgres and check it there')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { out?: string; since?: Date; verify?: boolean }, command: Command) => {
      const global = command.optsWithGlobals<GlobalOptions>()
      await findDatabase(global)
      const databaseUrl = ownersUrl()
      const folder = resolve(options.out ?? `ops-loop-backup-${stamp(new Date())}`)
      const told = progress(global)
      const { dump } = await import('../../backup/dump.js')
      const manifest = await interruptible((signal) =>
        overConnection('DATABASE_URL', () =>
          dump(databaseUrl, folder, {
            since: options.since?.toISOString(),
            onTable: ({ name, rows }) => told(`${name}  ${count(rows, 'row')}`),
            signal,
          }),
        ),
      )
      const checked = options.verify ? await verified(folder, told) : undefined
      await report(manifest)
      answerFor(global)({ folder, verified: checked !== undefined, ...manifest }, () =>
        [tablesOf(manifest.tables), '', `${folder}${checked ? `  verified: ${checked}` : ''}`].join('\n'),
      )
    })
}

export function restoreCommand(): Command {
  return new Command('restore')
    .description('bring a backup into another database, or check that it could be')
    .argument('<folder>', 'what ops-loop backup made')
    .option('--into <url>', 'a database without work, by a login that may create schemas and roles', address)
    .option('--verify', 'into a throwaway Postgres instead, to check it there')
    .addHelpText(
      'after',
      `
The copy holds its work until somebody releases it: the database that it was taken from may have gone on.
  psql "$URL" -c "select * from ops_hold()"
  psql "$URL" -c "select * from ops_release_hold('your name')"`,
    )
    .action(async (folder: string, options: { into?: string; verify?: boolean }, command: Command) => {
      const global = command.optsWithGlobals<GlobalOptions>()
      const told = progress(global)
      if (options.verify && options.into !== undefined)
        command.error('error: give --into or --verify, not both')
      if (options.verify) {
        const summary = await verified(resolve(folder), told)
        answerFor(global)(
          { folder: resolve(folder), verified: true },
          () => `${resolve(folder)}  verified: ${summary}`,
        )
        return
      }
      if (options.into === undefined)
        command.error('error: say where to: add --into postgresql://…, or --verify')
      const { restore } = await import('../../backup/restore.js')
      const { into } = options
      const manifest = await overConnection('--into', () =>
        restore(resolve(folder), into, {
          onTable: ({ name, rows }) => told(`${name}  ${count(rows, 'row')}`),
        }),
      )
      answerFor(global)({ folder: resolve(folder), ...manifest }, () =>
        [
          tablesOf(manifest.tables),
          '',
          "Restored. Its work is held: look at ops_held_steps, then select * from ops_release_hold('your name').",
        ].join('\n'),
      )
    })
}

/** For commander: where a database is. */
function address(text: string): string {
  if (envSchema.shape.DATABASE_URL.safeParse(text).success) return text
  throw new InvalidArgumentError('Write it as postgresql://user:password@host:5432/database.')
}

async function verified(folder: string, told: (line: string) => void): Promise<string> {
  const { verify } = await import('../../backup/verify.js')
  told('restoring into a throwaway Postgres')
  const { rows, broken, in_flight } = await interruptible((signal) => verify(folder, { signal }))
  const [first] = broken
  if (first)
    throw new OpsError(
      'OPS_001',
      `The restored copy breaks ${count(broken.length, 'invariant')}: ${first.invariant}, ${first.problem}.`,
      {
        details: { broken },
      },
    )
  return `${count(rows, 'row')}, all invariants hold, ${count(in_flight, 'step')} in flight`
}

/** A backup reads the private schema, so it needs more than the control plane's key. */
function ownersUrl(): string {
  const { DATABASE_URL } = readEnv()
  if (DATABASE_URL !== undefined) return DATABASE_URL
  throw new OpsError('OPS_001', 'A backup needs DATABASE_URL: it cannot go through PostgREST.', {
    hint: 'Take the direct or session connection from Connect in the Supabase dashboard.',
  })
}

/** Lets the loop know how old its newest backup is. */
async function report({ created_at, since, tables }: Manifest): Promise<void> {
  const engine = engineFromEnv(readEnv())
  try {
    await engine.report('backup', 1, { created_at, since, tables: tables.length })
  } finally {
    await engine.close()
  }
}

function tablesOf(tables: readonly TableCopy[]): string {
  return table(
    ['table', 'rows'],
    tables.filter(({ rows }) => rows > 0).map(({ name, rows }) => [name, String(rows)]),
  )
}

/** `20260131-0900`, in UTC. */
function stamp(now: Date): string {
  return now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 13)
}
