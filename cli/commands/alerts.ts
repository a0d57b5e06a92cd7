import { Command } from 'commander'
import { shortId } from '../../embedded/shortId.js'
import { alertPages, idArgument, wholeId } from '../ids.js'
import { wholeNumber } from '../numbers.js'
import { AS_OPTION, actorOf, withEngine } from '../session.js'
import { ago, short, table } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop alerts list
  ops-loop alerts ack 3f2a91 --note "the executor's host is down, Dana is on it"
  ops-loop alerts silence queued_steps --minutes 60 --reason "a load test"`

interface SilenceOptions {
  minutes: number
  reason: string
  subject?: string
  as?: string
}

export function alertsCommand(): Command {
  const alerts = new Command('alerts')
    .description('what the loop asks a person for')
    .addHelpText('after', EXAMPLES)

  alerts
    .command('list')
    .description('open alerts, newest first')
    .option('--all', 'those that are over too')
    .option('--limit <n>', 'at most this many', wholeNumber(1, 200), 50)
    .action(({ all, limit }: { all?: boolean; limit: number }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const rows = await engine.listAlerts(all ? {} : { status: 'open' }, limit)
        answer(rows, () =>
          rows.length === 0
            ? 'No open alerts'
            : table(
                ['alert', 'prio', 'rule', 'about', 'status', 'since', 'summary'],
                rows.map((a) => [
                  shortId(a.id),
                  a.priority,
                  a.rule,
                  short(a.subject, 30),
                  statusOf(a),
                  ago(a.opened_at),
                  short(a.summary, 80),
                ]),
              ),
        )
      }),
    )

  alerts
    .command('ack')
    .description('take an alert on: it is told again only when it gets worse, or ends')
    .argument('<id>', 'of the alert, or its beginning or end', idArgument)
    .option(...AS_OPTION)
    .option('--note <text>', 'kept with the alert')
    .action((part: string, options: { as?: string; note?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(part, 'alert', alertPages(engine))
        const alert = await engine.acknowledgeAlert(id, { actor: actorOf(options), note: options.note })
        answer(alert, () => `alert ${id} (${alert.rule}) is taken on by ${alert.acknowledged_by}`)
      }),
    )

  alerts
    .command('silence')
    .description('keep a rule quiet for a time; what is still open then is told')
    .argument('<rule>', 'such as queued_steps; "*" for all')
    .requiredOption('--minutes <n>', 'for how long, at most 30 days', wholeNumber(1, 43_200))
    .requiredOption('--reason <text>', 'why')
    .option('--subject <text>', 'only this executor, check, service or channel of the rule')
    .option(...AS_OPTION)
    .action((rule: string, options: SilenceOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const { minutes, reason, subject } = options
        const silence = await engine.silenceAlerts({
          rule,
          minutes,
          reason,
          subject,
          actor: actorOf(options),
        })
        answer(silence, () => `${rule} is silent until ${silence.until}`)
      }),
    )
  return alerts
}

function statusOf(alert: { status: string; acknowledged_by: string | null; silenced: boolean }): string {
  if (alert.status !== 'open') return alert.status
  if (alert.acknowledged_by !== null) return `with ${alert.acknowledged_by}`
  return alert.silenced ? 'silenced' : 'open'
}
