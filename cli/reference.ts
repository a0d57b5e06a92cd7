/** docs/cli.md, made from what the program says of itself. */
import type { Argument, Command, Option } from 'commander'
import { createProgram } from './program.js'

const OPENING = `# The command line

\`npx ops-loop <command>\`, from the project's folder. This page is made from the program's own help: \`npm run cli:build\`.

Which database: \`DATABASE_URL\`, or \`SUPABASE_URL\` with \`SUPABASE_SECRET_KEY\`, from the environment or \`.env\`; without them, the one of
the \`npm start\` that is running.

| exit code | means |
|---|---|
| 0 | done; of \`doctor\`, nothing is broken; of a view that was ended by Ctrl-C too |
| 1 | failed: the sentence on stderr says why, and what to do; of \`doctor\`, something is broken |
| 2 | wrong usage: nothing was done |

With \`--json\` the answer is JSON on stdout, and an error is \`{"error", "code", "details"}\` on stderr, as the API has it. Ids may be cut down to
at least four characters of their beginning or end.`

export function cliReference(): string {
  const program = createProgram({ json: false })
  const sections = visible(program).map((command) => section(command, 'ops-loop', '##'))
  return `${[OPENING, optionsOf('For all commands', program), ...sections].filter(Boolean).join('\n\n')}\n`
}

function section(command: Command, parent: string, heading: string): string {
  const name = `${parent} ${command.name()}`
  const usage = [name, ...command.registeredArguments.map(argumentName)].join(' ')
  const parts = [
    `${heading} ${usage}`,
    capitalised(`${command.description()}.`),
    argumentsOf(command),
    optionsOf('Options', command),
    examplesOf(command),
    ...visible(command).map((sub) => section(sub, name, `${heading}#`)),
  ]
  return parts.filter(Boolean).join('\n\n')
}

const visible = (command: Command) => command.createHelp().visibleCommands(command)

function argumentName(argument: Argument): string {
  const name = argument.variadic ? `${argument.name()}...` : argument.name()
  return argument.required ? `<${name}>` : `[${name}]`
}

function argumentsOf({ registeredArguments }: Command): string {
  const rows = registeredArguments.map((argument) => [`\`${argumentName(argument)}\``, about(argument)])
  return table('Arguments', rows)
}

function optionsOf(title: string, command: Command): string {
  return table(
    title,
    command.options.filter(({ hidden }) => !hidden).map((option) => [`\`${option.flags}\``, about(option)]),
  )
}

function about(of: Argument | Option): string {
  const choices = of.argChoices ? `one of ${of.argChoices.join(', ')}` : ''
  const fallback = of.defaultValue === undefined ? '' : `default ${String(of.defaultValue)}`
  const more = [choices, fallback].filter(Boolean).join('; ')
  return `${of.description}${more ? ` (${more})` : ''}`.replaceAll('|', '\\|')
}

function table(title: string, rows: string[][]): string {
  if (rows.length === 0) return ''
  return [`| ${title} | |`, '|---|---|', ...rows.map((cells) => `| ${cells.join(' | ')} |`)].join('\n')
}

/** What the help says below the options, as the program prints it. */
function examplesOf(command: Command): string {
  let help = ''
  command.configureOutput({
    writeOut: (text) => {
      help += text
    },
  })
  command.outputHelp()
  const added = help.slice(command.helpInformation().length).trim()
  return added === '' ? '' : `\`\`\`\n${added}\n\`\`\``
}

const capitalised = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
