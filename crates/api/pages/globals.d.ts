/** The texts of every language, by its tag; words/en.json says which there are. The server puts them before the script. */
declare const LANGUAGES: Record<string, typeof import('./words/en.json')>
