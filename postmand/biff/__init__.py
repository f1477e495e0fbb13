"""biff: tells members on IRC that mail has come, and nothing more to anyone.

In reading order. The seams and what crosses them:

settings      what a session is to be like, from the config
events        what the connection tells the bot, and the two interfaces between them
casemap       names: what is one, and which are the same
lines         a line as octets: read, written, cut

The connection, from the wire upwards:

client        Twisted's IRCClient, hardened: lines, PING and PONG, the link's pulse
capabilities  IRCv3 capabilities: offered, asked for, granted
standing      what is known of one connection: nick, channels, login, features
nickserv      logging in and getting the nick back, so that no impostor hears it
backoff       ever longer waits
phases        what each state of a session says, awaits and gives up on
session       the states (Automat), and what holds in all of them
hearing       a server's line in, an event or nothing out

Who is who:

roll          who is in the channels: a nick and an epoch are an identity
oracle        which of NickServ's answers may be believed
identity      the checks: questions out, answers in, verdicts out; pure
asking        asks the checks' questions and waits for their verdicts

The bot:

credit        how many lines the server takes now; pure
pace          when the next line may be written
budget        how much a nick may ask
waiting       who waits for an answer, a place or two each
words         all that is ever said
commands      what members say in private, and the answers
notices       who has new mail is told so, in fixed ticks
bot           these put together
service       the bot and its connection, as the node starts and stops them
"""
