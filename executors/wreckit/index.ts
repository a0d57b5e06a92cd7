import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { defineExecutor, done, type ExecutorContext, fail, type Outcome, retry } from '../define.js'
import { type ProgramEnd, runProgram } from '../program.js'
import { endOf, storableValue } from '../text.js'

/** Both outputs together fit into a result even where every character has to be escaped. */
const MAX_OUTPUT_BYTES = 64 * 1024
/** A status of many items is read whole; the result keeps what fits. */
const MAX_JSON_BYTES = 1024 * 1024

/** Commands that tell in JSON, and those that work on one item. */
const TELLING = ['status', 'list', 'show'] as const
const WORKING = ['run', 'research', 'plan', 'implement', 'pr', 'complete', 'critique', 'rollback'] as const
const OTHERS = ['ideas', 'next', 'doctor'] as const

const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\0]*$/, 'must not hold NUL')

const params = z
  .strictObject({
    command: z
      .enum([...TELLING, ...WORKING, ...OTHERS])
      .describe('What to do; policy `worker_policy.allowed_wreckit_commands` must name it.'),
    id: z
      .string()
      .max(200)
      .regex(/^[A-Za-z0-9][A-Za-z0-9/_.-]*$/, 'must be the id of an item')
      .optional()
      .describe('The item; for `show` and for the commands that work on one.'),
    ideas: text(100_000).optional().describe('What `ideas` takes in, as text.'),
    cwd: z
      .string()
      .max(4096)
      .refine(isAbsolute, 'must be an absolute path')
      .describe('The folder of the repository.'),
    agent: z
      .string()
      .max(100)
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'must be a kind of agent')
      .optional()
      .describe('The kind of agent that works.'),
    dry_run: z.boolean().default(false).describe('Say what would be done, and do nothing.'),
    force: z.boolean().default(false).describe('Do it again although it is done.'),
    fix: z.boolean().default(false).describe('Let `doctor` mend what it finds.'),
    parallel: z.int().min(1).max(16).optional().describe('Items at the same time, for `run` and `next`.'),
  })
  .superRefine(({ command, id, ideas, fix }, context) => {
    const wrong = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    const needsItem = isOneOf(WORKING, command) || command === 'show'
    if (needsItem && id === undefined) wrong('id', `is what '${command}' needs`)
    if (!needsItem && id !== undefined) wrong('id', `is not for '${command}'`)
    if ((command === 'ideas') !== (ideas !== undefined)) {
      wrong('ideas', command === 'ideas' ? "is what 'ideas' needs" : `is not for '${command}'`)
    }
    if (fix && command !== 'doctor') wrong('fix', `is not for '${command}'`)
  })

type Params = z.output<typeof params>

/** Runs one command of wreckit: from ideas over research, plan and implementation to a pull request. */
export default defineExecutor({
  kind: 'wreckit',
  params,
  env: [
    ...['PATH', 'HOME', 'LANG', 'TMPDIR'],
    ...['ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'GITHUB_TOKEN', 'GH_TOKEN'],
  ],
  async run(context) {
    const { params, policy, env, signal } = context
    if (!policy.allowed_wreckit_commands.includes(params.command)) {
      const error = `wreckit ${params.command} is not allowed: policy worker_policy names the commands in allowed_wreckit_commands`
      return fail(error, { meta: { code: 'OPS_012' } })
    }
    const { command, cwd, ideas } = params
    const tells = isOneOf(TELLING, command)
    const maxBytes = tells ? MAX_JSON_BYTES : MAX_OUTPUT_BYTES
    try {
      const end = await runProgram({
        command: 'wreckit',
        args: argumentsOf(context),
        cwd,
        env,
        stdin: ideas,
        signal,
        maxBytes,
      })
      return outcomeOf(params, end)
    } catch (error) {
      if (!signal.aborted && error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        return fail(`this worker cannot start wreckit: it is not in its PATH, or there is no ${cwd}`)
      }
      throw error
    }
  },
})

function argumentsOf({ params }: ExecutorContext<Params>): string[] {
  const { command, id, cwd, agent, dry_run, force, fix, parallel } = params
  return [
    command,
    ...(id ? [id] : []),
    ...(isOneOf(TELLING, command) ? ['--json'] : []),
    ...(force ? ['--force'] : []),
    ...(fix ? ['--fix'] : []),
    '--no-tui',
    ...(dry_run ? ['--dry-run'] : []),
    ...(parallel ? ['--parallel', String(parallel)] : []),
    ...(agent ? ['--agent', agent] : []),
    ...['--cwd', cwd],
  ]
}

/** Its exit codes: 0 done, 1 failed, 130 interrupted. */
function outcomeOf({ command, dry_run }: Params, end: ProgramEnd): Outcome {
  const { exit_code, signal, stdout, stderr, truncated } = end
  const meta = { exit_code, dry_run }
  if (exit_code !== 0) {
    const words = endOf(stderr || stdout, 500)
    const how =
      exit_code === null ? `ended by ${signal}` : exit_code === 130 ? 'interrupted' : `exit code ${exit_code}`
    return retry({ error: words ? `${how}: ${words}` : how, meta })
  }
  if (!isOneOf(TELLING, command))
    return done({ dry_run, stdout, stderr, ...(truncated && { truncated }) }, { meta })
  const told = truncated ? undefined : readJson(stdout)
  return (
    told ??
    fail(truncated ? 'wreckit told more than 1 MiB' : 'wreckit told something that is no JSON', { meta })
  )

  function readJson(text: string): Outcome | undefined {
    try {
      const value: unknown = JSON.parse(text)
      const problem = command === 'show' ? undefined : listProblem(value)
      return problem ? fail(problem, { meta }) : done(storableValue(value), { meta })
    } catch {
      return undefined
    }
  }
}

/** `status` and `list` have a format with a number: a later one may mean something else. */
function listProblem(value: unknown): string | undefined {
  const parsed = z.object({ schema_version: z.number(), items: z.array(z.unknown()) }).safeParse(value)
  if (!parsed.success) return 'wreckit told something that is no list of items'
  const { schema_version } = parsed.data
  return schema_version === 1
    ? undefined
    : `wreckit tells its status in format ${schema_version}; this executor reads 1`
}

function isOneOf<Word extends string>(words: readonly Word[], word: string): word is Word {
  return words.some((one) => one === word)
}
