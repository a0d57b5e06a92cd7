import { Command } from 'commander'
import { OpsError, readEnv } from '../../engine/index.js'
import { findDatabase, type GlobalOptions, overConnection } from '../connection.js'
import { answerFor } from '../session.js'

const EXAMPLES = `
Examples:
  DATABASE_URL=postgresql://postgres:…@db.example.supabase.co:5432/postgres ops-loop migrate
  ops-loop migrate --seed                 also add those default policies that are missing`

export function migrateCommand(): Command {
  return new Command('migrate')
    .description('bring the database up to date')
    .option('--seed', 'add the default policies; a policy that exists stays as it is')
    .addHelpText('after', EXAMPLES)
    .action(async ({ seed }: { seed?: boolean }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>()
      await findDatabase(options)
      const { DATABASE_URL } = readEnv()
      if (DATABASE_URL === undefined) {
        throw new OpsError('OPS_001', 'Migrations need DATABASE_URL: they cannot go through PostgREST.', {
          hint: 'Take the direct or session connection from Connect in the Supabase dashboard.',
        })
      }
      const { migrate, seedPolicies } = await import('../../embedded/migrate.js')
      const result = await overConnection('DATABASE_URL', async () => {
        const migrated = await migrate(DATABASE_URL)
        if (seed) await seedPolicies(DATABASE_URL)
        return migrated
      })
      answerFor(options)({ ...result, seeded: seed ?? false }, () => {
        const lines = [
          ...result.applied.map((file) => `${file} applied`),
          ...result.recorded.map((file) => `${file} was applied by hand: recorded`),
        ]
        if (lines.length === 0) lines.push('Nothing to do: the database is up to date.')
        if (seed) lines.push('Default policies are in place.')
        return lines.join('\n')
      })
    })
}
