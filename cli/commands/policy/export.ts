import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { writeWholeFile } from '../../../embedded/wholeFile.js'
import { OpsError } from '../../../engine/index.js'
import { formatPolicy } from '../../../policies/index.js'
import { withEngine } from '../../session.js'

const EXAMPLES = `
Written as apply reads it: exporting what was applied gives the same file, byte for byte, if it was laid out so before.

Examples:
  ops-loop policy export reaction_matrix > reaction_matrix.json
  ops-loop policy export --dir policies/production`

export function exportCommand(): Command {
  return new Command('export')
    .description('the policies in force as files')
    .argument('[policies...]', 'only these')
    .option('--dir <folder>', 'write a file for each into this folder; else one policy goes to stdout')
    .addHelpText('after', EXAMPLES)
    .action((keys: string[], { dir }: { dir?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const rows = await engine.policies(keys.length > 0 ? keys : undefined)
        const missing = keys.find((key) => !rows.some((row) => row.key === key))
        if (missing !== undefined) {
          throw new OpsError('OPS_013', `There is no policy "${missing}" in force.`, {
            hint: `In force: ${(await engine.policies()).map(({ key }) => key).join(', ')}`,
          })
        }
        const files = rows.map(({ key, value, version }) => ({
          key,
          version,
          value,
          text: formatPolicy(key, value),
        }))
        if (dir === undefined) {
          const [only, ...others] = files
          if (others.length > 0 && !command.optsWithGlobals().json)
            command.error('error: name one policy, or give --dir for a file each')
          // As it is, byte for byte, and so past what makes answers fit for a terminal.
          if (command.optsWithGlobals().json)
            answer(Object.fromEntries(files.map(({ key, value }) => [key, value])), () => '')
          else process.stdout.write(only?.text ?? '')
          return
        }
        await mkdir(dir, { recursive: true })
        const written = await Promise.all(
          files.map(async ({ key, version, text }) => {
            const path = join(dir, `${key}.json`)
            // Through a link, which stays one.
            await writeWholeFile(await realpath(path).catch(() => path), text)
            return { key, version, path }
          }),
        )
        answer(written, () =>
          written.map(({ path, version }) => `${path} written (version ${version})`).join('\n'),
        )
      }),
    )
}
