import { Command, InvalidArgumentError } from 'commander'
import { SCOPES } from '../../api/access/scopes.js'
import { mintToken } from '../../api/access/tokens.js'
import { readConnection } from '../../embedded/connection.js'
import { loadDotEnv, OpsError } from '../../engine/index.js'
import { dataFolder, type GlobalOptions, runningStack } from '../connection.js'
import { actorOf, answerFor } from '../session.js'

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }

interface MintOptions {
  scope: string[]
  ttl: number
  for?: string
}

export function tokenCommand(): Command {
  return new Command('token').description('keys for parts of the API').addCommand(mintCommand())
}

function mintCommand(): Command {
  const scopes = Object.entries(SCOPES).map(([scope, meaning]) => `  ${scope.padEnd(18)} ${meaning}`)
  return new Command('mint')
    .description('make a token that opens some routes of the API for some time, and print it')
    .requiredOption('--scope <scope>', 'what it opens; may be given several times', collect)
    .requiredOption('--ttl <time>', 'how long it lives: 15m, 12h, 30d', duration)
    .option(
      '--for <name>',
      'who acts with it, as the record shall have it (default: OPS_ACTOR, then your user name)',
    )
    .addHelpText(
      'after',
      `
Scopes, with "*" for either side of the colon or for all:
${scopes.join('\n')}

It is signed with OPS_TOKEN_SECRET, which the API must have too. It cannot be called back by itself: a new
OPS_TOKEN_SECRET ends all tokens, those of the old one as soon as it is no longer OPS_TOKEN_SECRET_PREVIOUS.

Example:
  ops-loop token mint --scope proposals:read --scope proposals:approve --ttl 30d --for ada@example.com`,
    )
    .action(async (options: MintOptions, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>()
      const name = actorOf({ as: options.for ?? '' })
      const minted = await mintToken(await tokenSecret(globals), {
        name,
        scopes: options.scope,
        ttlSeconds: options.ttl,
      })
      answerFor(globals)({ ...minted, for: name, scopes: options.scope }, () => minted.token)
    })
}

/** The environment's, or that of the running npm start; with --data-dir, that of the one which runs there. */
async function tokenSecret(options: GlobalOptions): Promise<string> {
  if (options.dataDir !== undefined) return (await runningStack(options)).OPS_TOKEN_SECRET
  loadDotEnv()
  const secret = process.env.OPS_TOKEN_SECRET || (await readConnection(dataFolder(options)))?.OPS_TOKEN_SECRET
  if (secret) return secret
  throw new OpsError('OPS_011', 'OPS_TOKEN_SECRET is not set.', {
    details: { path: 'OPS_TOKEN_SECRET' },
    hint: 'make one with openssl rand -base64 32, and give it to the API too',
  })
}

function collect(scope: string, others: string[] = []): string[] {
  return [...others, ...scope.split(/[ ,]+/).filter(Boolean)]
}

function duration(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  const seconds = Number(number) * (UNITS[unit ?? ''] ?? Number.NaN)
  if (Number.isNaN(seconds))
    throw new InvalidArgumentError('Write it as a number and s, m, h or d, such as 30d.')
  return seconds
}
