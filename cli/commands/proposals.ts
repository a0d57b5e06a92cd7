import { Command, Option } from 'commander'
import { z } from 'zod'
import { shortId } from '../../embedded/shortId.js'
import { oneLine } from '../../engine/harmless.js'
import {
  type Engine,
  OpsError,
  type ProposalOutcome,
  type ProposalRecord,
  type ProposalStatus,
} from '../../engine/index.js'
import { formatJson } from '../../policies/index.js'
import { ALL_OPTION, idArgument, proposalPages, wholeId } from '../ids.js'
import { wholeNumber } from '../numbers.js'
import { AS_OPTION, actorOf, withEngine } from '../session.js'
import { ago, fields, plain, short, table } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop proposals list --status pending
  ops-loop proposals show 3f2a91
  ops-loop proposals approve 3f2a91 --note "looks right"`

const STATUSES = [
  'pending',
  'approved',
  'rejected',
  'auto_approved',
  'expired',
] as const satisfies ProposalStatus[]

interface ListOptions {
  status?: ProposalStatus
  source?: string
  all?: boolean
  limit: number
}

interface DecisionOptions {
  as?: string
  note?: string
  digest?: string
}

export function proposalsCommand(): Command {
  const proposals = new Command('proposals')
    .description('missions that someone wants to run')
    .addHelpText('after', EXAMPLES)

  proposals
    .command('list')
    .description('the newest proposals')
    .addOption(new Option('--status <status>', 'only of this status').choices(STATUSES))
    .option('--source <source>', 'only of this source')
    .option(...ALL_OPTION)
    .option('--limit <n>', 'at most this many', wholeNumber(1, 200), 20)
    .action((options: ListOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const { limit, status, source, all } = options
        const from = source ? { source } : { ...(!all && { canaries: false }) }
        const filter = { ...(status && { status }), ...from }
        const rows = await engine.listProposals(filter, limit)
        answer(rows, () => table(['id', 'status', 'verdict', 'source', 'title', 'made'], rows.map(cells)))
      }),
    )

  proposals
    .command('show')
    .description('a proposal, its verdict and exactly what would run')
    .argument('<id>', 'of the proposal, or its beginning or end', idArgument)
    .action((id: string, _options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const proposal = await find(engine, id)
        answer(proposal, () => describe(proposal))
      }),
    )

  proposals
    .command('approve')
    .description('start the mission of a pending proposal')
    .argument('<id>', 'of the proposal, or its beginning or end', idArgument)
    .option(...AS_OPTION)
    .option('--note <text>', 'kept with the decision')
    .option('--digest <digest>', 'approve only if this is still what would run (see proposals show)')
    .action((id: string, options: DecisionOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const proposal = await find(engine, id)
        const { note, digest } = options
        const outcome = await engine.approveProposal(proposal.id, { actor: actorOf(options), note, digest })
        if (outcome.status === 'pending') throw stillPending(outcome)
        answer(outcome, () => `approved “${titleOf(proposal)}”: mission ${outcome.mission_id}`)
      }),
    )

  proposals
    .command('reject')
    .description('end a pending proposal without a mission')
    .argument('<id>', 'of the proposal, or its beginning or end', idArgument)
    .option(...AS_OPTION)
    .option('--note <text>', 'kept with the decision')
    .action((id: string, options: DecisionOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const proposal = await find(engine, id)
        const outcome = await engine.rejectProposal(proposal.id, {
          actor: actorOf(options),
          note: options.note,
        })
        answer(outcome, () => `rejected “${titleOf(proposal)}”`)
      }),
    )
  return proposals
}

/** @throws OpsError `OPS_013` */
async function find(engine: Engine, part: string): Promise<ProposalRecord> {
  const id = await wholeId(part, 'proposal', proposalPages(engine))
  const [proposal] = await engine.listProposals({ id }, 1)
  if (proposal === undefined) throw new OpsError('OPS_013', `There is no proposal ${id}.`)
  return proposal
}

function stillPending({ reason, code, verdict }: ProposalOutcome): OpsError {
  return new OpsError('OPS_003', `It stays pending: ${reason}.`, {
    details: { code, verdict },
    hint: 'Raise the cap in policy proposal_caps, or approve it when there is room again.',
  })
}

function cells(proposal: ProposalRecord): string[] {
  const { id, status, code, source, created_at } = proposal
  return [shortId(id), status, code ?? '', source, short(titleOf(proposal), 60), ago(created_at)]
}

const stepSchema = z.looseObject({
  key: z.string().optional(),
  kind: z.string(),
  params: z.unknown().optional(),
})
type Step = z.infer<typeof stepSchema>
const templateSchema = z.looseObject({ title: z.string(), steps: z.array(stepSchema) }).partial()

function titleOf({ title }: ProposalRecord): string {
  return oneLine(plain(title))
}

function describe(proposal: ProposalRecord): string {
  const { id, status, code, reason, source, digest, created_at, expires_at, template } = proposal
  const { title, steps = [], risk_level, description, agent, priority } = templateSchema.parse(template)
  const facts = fields({
    id,
    title,
    description: plain(description),
    status: `${status} (${code})`,
    reason,
    source,
    risk: plain(risk_level) || 'medium',
    agent: plain(agent),
    priority: plain(priority),
    made: ago(created_at),
    expires: status === 'pending' ? expires_at : undefined,
    mission: plain(proposal.mission_id),
    digest,
  })
  return [facts, ...steps.map(describeStep)].join('\n\n')
}

/** All of it, at length: whoever approves it must have seen it. */
function describeStep({ key, kind, params, ...rest }: Step, index: number): string {
  const others = Object.entries(rest).map(([name, value]) => [name, plain(value)])
  const told = fields({
    ...Object.fromEntries(others),
    params: params === undefined ? undefined : formatJson(params).trimEnd(),
  })
  return [`${key ?? `step-${index + 1}`}  ${kind}`, ...(told === '' ? [] : told.split('\n'))].join('\n  ')
}
