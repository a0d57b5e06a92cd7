import type { Argument, Command, Option } from 'commander'
import type { GlobalOptions } from '../connection.js'

export interface Candidate {
  word: string
  /** What it is, in a few words. */
  about: string
}

/** Names that only the database knows, by the command whose argument they are: `proposals show`. */
export type LiveNames = (command: string, options: GlobalOptions) => Promise<Candidate[]>

/**
 * What can stand at the end of a command line: commands, options, an option's values, and live names where an argument takes one.
 *
 * @param words without the program's own name; the last one is the one to complete, and may be empty
 */
export async function candidatesFor(
  program: Command,
  words: readonly string[],
  live: LiveNames,
): Promise<Candidate[]> {
  const beginning = words.at(-1) ?? ''
  const { command, path, given, open, dataDir } = walk(program, words.slice(0, -1))
  return (await possible()).filter(({ word }) => word.startsWith(beginning))

  async function possible(): Promise<Candidate[]> {
    if (open) return valuesOf(open)
    if (beginning.startsWith('-')) return optionsOf(program, command)
    const subcommands = visible(command).map((sub) => ({ word: sub.name(), about: sub.description() }))
    if (subcommands.length > 0) return given === 0 ? subcommands : []
    const argument = argumentAt(command, given)
    if (argument === undefined) return []
    return argument.argChoices ? argument.argChoices.map(plain) : live(path.join(' '), { dataDir })
  }
}

interface Place {
  command: Command
  /** Names of the commands that lead here. */
  path: string[]
  /** Arguments that are given already. */
  given: number
  /** The option whose value comes next. */
  open: Option | undefined
  /** Which database it is about, where that is said. */
  dataDir: string | undefined
}

function walk(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, path: [], given: 0, open: undefined, dataDir: undefined }
  for (const word of words) {
    if (place.open) {
      if (place.open.long === '--data-dir') place.dataDir = word
      place.open = undefined
      continue
    }
    const option = findOption(program, place.command, word)
    const sub = place.command.commands.find((command) => command.name() === word)
    if (word.startsWith('--data-dir=')) place.dataDir = word.slice('--data-dir='.length)
    else if (option) place.open = option.required && !word.includes('=') ? option : undefined
    else if (sub) {
      place.command = sub
      place.path.push(word)
    } else if (!word.startsWith('-')) place.given++
  }
  return place
}

function findOption(program: Command, command: Command, word: string): Option | undefined {
  const [name] = word.split('=')
  return [...command.options, ...program.options].find(({ long, short }) => long === name || short === name)
}

function optionsOf(program: Command, command: Command): Candidate[] {
  const options = [...command.options, ...(command === program ? [] : program.options)]
  const known = options.flatMap(({ long, description }) => (long ? [{ word: long, about: description }] : []))
  return [...known, { word: '--help', about: 'how to use it' }]
}

const valuesOf = (option: Option): Candidate[] => (option.argChoices ?? []).map(plain)

function argumentAt(command: Command, position: number): Argument | undefined {
  const argument = command.registeredArguments[position]
  return argument ?? command.registeredArguments.findLast(({ variadic }) => variadic)
}

const visible = (command: Command): Command[] => command.createHelp().visibleCommands(command)

const plain = (word: string): Candidate => ({ word, about: '' })
