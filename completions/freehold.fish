# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_freehold_global_optspecs
    string join \n o/output= context= h/help V/version
end

function __fish_freehold_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_freehold_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_freehold_using_subcommand
    set -l cmd (__fish_freehold_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c freehold -n "__fish_freehold_needs_command" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_needs_command" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_needs_command" -s V -l version -d 'Print version'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "up" -d 'Run server, agent and ingress on this machine'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "login" -d 'Keep how to reach a cluster'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "check" -d 'Judge a manifest without a cluster'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "deploy" -d 'Make a release of a manifest and an image, and roll it out'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "promote" -d 'Roll out in the next environment what runs completely in this one'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "rollback" -d 'Roll out an earlier release'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "status" -d 'Show how apps are'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "ps" -d 'List instances'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "logs" -d 'Show what instances write, live and after their death'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "image" -d 'Images on this machine and in the cluster\'s own registry'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "app" -d 'Apps are named workloads of a team'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "release" -d 'Releases: an image and a manifest, numbered per app, never changed'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "env" -d 'Environments: the stages of the pipeline'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "route" -d 'Routes: public names and ports'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "secret" -d 'Secrets: values that apps get in their environment'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "cert" -d 'Certificates that the ingress serves, and the cluster\'s own authority'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "team" -d 'Teams own apps'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "token" -d 'Tokens let users and machines in'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "host" -d 'Hosts: the machines that run instances'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "registry" -d 'Image registries off the cluster'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "event" -d 'Events: what the platform did and why'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "backup" -d 'Write a backup of the cluster\'s state'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "restore" -d 'Restore a backup into an empty data directory'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "store" -d 'Where the cluster\'s state is kept'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "lab" -d 'Rehearse on a cluster of many machines inside this one'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "net" -d 'The network between hosts'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "safe-mode" -d 'Safe mode: when much is lost at once, replacements are paced'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "server" -d 'Run a server of the control plane, or list all of a cluster\'s'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "agent" -d 'Run the agent of a host'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "proxy" -d 'Run the ingress'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "lab-init" -d 'A machine\'s first process'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "lab-door" -d 'The way in from this machine'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "lab-relay" -d 'What makes links slow'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "completions" -d 'Print completions for a shell'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "version" -d 'Show the version of this binary and, where one is known, of the cluster'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "exit-codes" -d 'List the exit codes'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "gen" -d 'Print generated files'
complete -c freehold -n "__fish_freehold_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand up" -l data -d 'The directory of everything that must outlive a restart' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand up" -l api -d 'Where API, console and image registry are served' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -l http -d 'Where the ingress serves HTTP; `:80` means port 80 of every address' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -l https -d 'Where the ingress serves HTTPS' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -l subnet -d 'The addresses of instances and services, a /16 to /22' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -l name -d 'The cluster\'s name; fixed by the first start' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -l host-name -d 'This host\'s name [default: the machine\'s]' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -l api-host -d 'Another name or address by which clients reach the API; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand up" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand up" -l ephemeral -d 'When stopped, remove containers, network and ingress'
complete -c freehold -n "__fish_freehold_using_subcommand up" -s v -l verbose -d 'Repeat what server and agent log on standard error'
complete -c freehold -n "__fish_freehold_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand login" -l token-file -d 'A file with the token; - is standard input' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand login" -l ca -d 'The cluster\'s authorities, PEM [default: the machine\'s own]' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand login" -l name -d 'What the context is called [default: the cluster\'s name]' -r
complete -c freehold -n "__fish_freehold_using_subcommand login" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand login" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand login" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand check" -s f -l file -d 'The manifest; - is standard input' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand check" -l image -d 'Also look at this image, on this machine or else in the cluster' -r
complete -c freehold -n "__fish_freehold_using_subcommand check" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand check" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -s f -l file -d 'The manifest; - is standard input' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -l image -d 'The image; goes before the manifest\'s' -r
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -l env -d 'The environment [default: the first of the pipeline]' -r
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -l timeout -d 'How long to wait; the deployment goes on after that' -r
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -l dry-run -d 'Only say what would happen'
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -l wait -d 'Wait until it is complete, or has failed and is rolled back'
complete -c freehold -n "__fish_freehold_using_subcommand deploy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand promote" -l from -d 'Where it runs [default: the first environment of the pipeline]' -r
complete -c freehold -n "__fish_freehold_using_subcommand promote" -l to -d 'Where it goes [default: the next environment of the pipeline]' -r
complete -c freehold -n "__fish_freehold_using_subcommand promote" -l timeout -d 'How long to wait; the deployment goes on after that' -r
complete -c freehold -n "__fish_freehold_using_subcommand promote" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand promote" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand promote" -l dry-run -d 'Only say what would happen'
complete -c freehold -n "__fish_freehold_using_subcommand promote" -l wait -d 'Wait until it is complete, or has failed and is rolled back'
complete -c freehold -n "__fish_freehold_using_subcommand promote" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -l env -d 'Where [default: the last environment of the pipeline that the app runs in]' -r
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -l release -d 'The release\'s number [default: the one that ran completely before]' -r
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -l timeout -d 'How long to wait; the deployment goes on after that' -r
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -l dry-run -d 'Only say what would happen'
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -l wait -d 'Wait until it is complete, or has failed and is rolled back'
complete -c freehold -n "__fish_freehold_using_subcommand rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand status" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand status" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand status" -l why -d 'Say what keeps an app from its goal'
complete -c freehold -n "__fish_freehold_using_subcommand status" -l controllers -d 'Show the servers\' controllers instead'
complete -c freehold -n "__fish_freehold_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand ps" -l env -d 'Only in this environment' -r
complete -c freehold -n "__fish_freehold_using_subcommand ps" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand ps" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand ps" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand logs" -l env -d 'Only in this environment' -r
complete -c freehold -n "__fish_freehold_using_subcommand logs" -l instance -d 'Only of this instance, also when it is gone' -r
complete -c freehold -n "__fish_freehold_using_subcommand logs" -l tail -d 'The last lines of each instance' -r
complete -c freehold -n "__fish_freehold_using_subcommand logs" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand logs" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand logs" -s f -l follow -d 'Go on with new lines'
complete -c freehold -n "__fish_freehold_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "build" -d 'Build an image from files, the same bytes from the same files each time'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "push" -d 'Push an image of this machine into the cluster\'s registry'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "pull" -d 'Pull an image of the cluster\'s registry to this machine'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "import" -d 'Import images from a docker-archive or OCI layout, a tar file or directory'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "list" -d 'List the images of the cluster\'s registry'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "inspect" -d 'Show what an image says of itself'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "delete" -d 'Delete an image, or a tag of one'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "collect-garbage" -d 'Remove what no image of the cluster\'s registry needs'
complete -c freehold -n "__fish_freehold_using_subcommand image; and not __fish_seen_subcommand_from build push pull import list inspect delete collect-garbage help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l base -d '`scratch`, an image of this machine or of the cluster, or the path of a layout (./DIR, ./FILE)' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l add -d 'A file or directory and where it goes; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l command -d 'The program and its first arguments [default: the base\'s]' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l arg -d 'A further argument, which may begin with a dash; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l env -d 'A variable; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l user -d 'Who it runs as: user[:group]' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l workdir -d 'Where it starts' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l label -d 'A label; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l port -d 'A port it listens on; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l tag -d 'What to call it' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l architecture -d 'The architecture, such as amd64 or arm64 [default: this machine\'s]' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from push" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from push" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from pull" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from pull" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from import" -l tag -d 'What to call the image [default: the names in the file, without their registry]' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from import" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from import" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from list" -l local -d 'List those of this machine instead'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from inspect" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from inspect" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from delete" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from delete" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from delete" -l local -d 'Delete it on this machine, not in the cluster'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from collect-garbage" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from collect-garbage" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from collect-garbage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "build" -d 'Build an image from files, the same bytes from the same files each time'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "push" -d 'Push an image of this machine into the cluster\'s registry'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "pull" -d 'Pull an image of the cluster\'s registry to this machine'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "import" -d 'Import images from a docker-archive or OCI layout, a tar file or directory'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the images of the cluster\'s registry'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show what an image says of itself'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete an image, or a tag of one'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "collect-garbage" -d 'Remove what no image of the cluster\'s registry needs'
complete -c freehold -n "__fish_freehold_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand app; and not __fish_seen_subcommand_from list show delete help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand app; and not __fish_seen_subcommand_from list show delete help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand app; and not __fish_seen_subcommand_from list show delete help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand app; and not __fish_seen_subcommand_from list show delete help" -f -a "list" -d 'List apps'
complete -c freehold -n "__fish_freehold_using_subcommand app; and not __fish_seen_subcommand_from list show delete help" -f -a "show" -d 'Show an app'
complete -c freehold -n "__fish_freehold_using_subcommand app; and not __fish_seen_subcommand_from list show delete help" -f -a "delete" -d 'Delete an app: its instances are drained and stopped, then it goes'
complete -c freehold -n "__fish_freehold_using_subcommand app; and not __fish_seen_subcommand_from list show delete help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from show" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from show" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from delete" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from delete" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from help" -f -a "list" -d 'List apps'
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show an app'
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete an app: its instances are drained and stopped, then it goes'
complete -c freehold -n "__fish_freehold_using_subcommand app; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand release; and not __fish_seen_subcommand_from list show help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand release; and not __fish_seen_subcommand_from list show help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand release; and not __fish_seen_subcommand_from list show help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand release; and not __fish_seen_subcommand_from list show help" -f -a "list" -d 'List the releases of an app'
complete -c freehold -n "__fish_freehold_using_subcommand release; and not __fish_seen_subcommand_from list show help" -f -a "show" -d 'Show a release with its manifest'
complete -c freehold -n "__fish_freehold_using_subcommand release; and not __fish_seen_subcommand_from list show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from show" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from show" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the releases of an app'
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a release with its manifest'
complete -c freehold -n "__fish_freehold_using_subcommand release; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -f -a "list" -d 'List environments in the order of the pipeline'
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -f -a "show" -d 'Show an environment'
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -f -a "apply" -d 'Make or change the environments of a TOML file'
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -f -a "delete" -d 'Delete an environment in which nothing runs'
complete -c freehold -n "__fish_freehold_using_subcommand env; and not __fish_seen_subcommand_from list show apply delete help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from show" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from show" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from apply" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from apply" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from delete" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from delete" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "list" -d 'List environments in the order of the pipeline'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show an environment'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "apply" -d 'Make or change the environments of a TOML file'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete an environment in which nothing runs'
complete -c freehold -n "__fish_freehold_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand route; and not __fish_seen_subcommand_from list vip help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand route; and not __fish_seen_subcommand_from list vip help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand route; and not __fish_seen_subcommand_from list vip help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand route; and not __fish_seen_subcommand_from list vip help" -f -a "list" -d 'List routes, with the addresses that their names should stand for in DNS'
complete -c freehold -n "__fish_freehold_using_subcommand route; and not __fish_seen_subcommand_from list vip help" -f -a "vip" -d 'Virtual addresses: each is held by one ingress host of its network at a time'
complete -c freehold -n "__fish_freehold_using_subcommand route; and not __fish_seen_subcommand_from list vip help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -f -a "add" -d 'Add a virtual address'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -f -a "list" -d 'List virtual addresses, with who holds each'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -f -a "show" -d 'Show a virtual address, with all hosts that may hold it'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -f -a "set" -d 'Set who may hold a virtual address; what is not given is as after `add`'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -f -a "delete" -d 'Delete a virtual address; the host that holds it gives it up'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from vip" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from help" -f -a "list" -d 'List routes, with the addresses that their names should stand for in DNS'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from help" -f -a "vip" -d 'Virtual addresses: each is held by one ingress host of its network at a time'
complete -c freehold -n "__fish_freehold_using_subcommand route; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and not __fish_seen_subcommand_from set list delete help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand secret; and not __fish_seen_subcommand_from set list delete help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and not __fish_seen_subcommand_from set list delete help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and not __fish_seen_subcommand_from set list delete help" -f -a "set" -d 'Set a secret; its value is read from standard input'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and not __fish_seen_subcommand_from set list delete help" -f -a "list" -d 'List secrets, without their values'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and not __fish_seen_subcommand_from set list delete help" -f -a "delete" -d 'Delete a secret'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and not __fish_seen_subcommand_from set list delete help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from set" -l team -d 'The team it belongs to' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from set" -l env -d 'The environment it is for' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from set" -l from-file -d 'Read the value from this file, as it is' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from set" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from set" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from delete" -l team -d 'The team it belongs to' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from delete" -l env -d 'The environment it is for' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from delete" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from delete" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set a secret; its value is read from standard input'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "list" -d 'List secrets, without their values'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete a secret'
complete -c freehold -n "__fish_freehold_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -f -a "set" -d 'Set a certificate; it is served at once'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -f -a "list" -d 'List certificates, without keys'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -f -a "delete" -d 'Delete a certificate'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -f -a "authority" -d 'The authority that signs the cluster\'s own certificates'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and not __fish_seen_subcommand_from set list delete authority help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from set" -l chain -d 'The chain, PEM, the leaf first' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from set" -l key -d 'The leaf\'s key, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from set" -l host -d 'A host name to serve it for; may be repeated [default: those in the certificate]' -r
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from set" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from set" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from delete" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from delete" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from authority" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from authority" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from authority" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from authority" -f -a "show" -d 'Show the authority, and how far an exchange of it is'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from authority" -f -a "rotate" -d 'Exchange the authority for a new one'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from authority" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set a certificate; it is served at once'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "list" -d 'List certificates, without keys'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete a certificate'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "authority" -d 'The authority that signs the cluster\'s own certificates'
complete -c freehold -n "__fish_freehold_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand team; and not __fish_seen_subcommand_from list create delete help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand team; and not __fish_seen_subcommand_from list create delete help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand team; and not __fish_seen_subcommand_from list create delete help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand team; and not __fish_seen_subcommand_from list create delete help" -f -a "list" -d 'List teams'
complete -c freehold -n "__fish_freehold_using_subcommand team; and not __fish_seen_subcommand_from list create delete help" -f -a "create" -d 'Make a team'
complete -c freehold -n "__fish_freehold_using_subcommand team; and not __fish_seen_subcommand_from list create delete help" -f -a "delete" -d 'Delete a team that owns no app'
complete -c freehold -n "__fish_freehold_using_subcommand team; and not __fish_seen_subcommand_from list create delete help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from create" -l description -d 'What people should know about it' -r
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from create" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from create" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from delete" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from delete" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from help" -f -a "list" -d 'List teams'
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a team'
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete a team that owns no app'
complete -c freehold -n "__fish_freehold_using_subcommand team; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand token; and not __fish_seen_subcommand_from list create revoke help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand token; and not __fish_seen_subcommand_from list create revoke help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand token; and not __fish_seen_subcommand_from list create revoke help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand token; and not __fish_seen_subcommand_from list create revoke help" -f -a "list" -d 'List tokens, without their secrets'
complete -c freehold -n "__fish_freehold_using_subcommand token; and not __fish_seen_subcommand_from list create revoke help" -f -a "create" -d 'Make a token; it is printed once and never again'
complete -c freehold -n "__fish_freehold_using_subcommand token; and not __fish_seen_subcommand_from list create revoke help" -f -a "revoke" -d 'Revoke a token at once'
complete -c freehold -n "__fish_freehold_using_subcommand token; and not __fish_seen_subcommand_from list create revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from create" -l role -d 'What it may do' -r -f -a "viewer\t'Sees everything but secrets'
developer\t'Deploys the apps of one team'
operator\t'Owns environments, hosts and routes'
security\t'Owns blessing and revocation of images'
admin\t'Everything'"
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from create" -l team -d 'The team it is limited to; a developer needs one' -r
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from create" -l expires-in -d 'How long it lives, such as 90d; without it for ever' -r
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from create" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from create" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from revoke" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from revoke" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "list" -d 'List tokens, without their secrets'
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a token; it is printed once and never again'
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Revoke a token at once'
complete -c freehold -n "__fish_freehold_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "list" -d 'List hosts'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "show" -d 'Show a host'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "drain" -d 'Move everything off a host, replacements first'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "undrain" -d 'Let a host take instances again'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "remove" -d 'Remove a host for good: drained before, or taken for dead'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "token" -d 'Make, list and revoke tokens with which machines join'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "label" -d 'Change labels of a host'
complete -c freehold -n "__fish_freehold_using_subcommand host; and not __fish_seen_subcommand_from list show drain undrain remove token label help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from show" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from show" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from drain" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from drain" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from undrain" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from undrain" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from undrain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from remove" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from remove" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from remove" -l force -d 'Also one that is taken for dead with instances on it; if it still runs, so do they'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -l ttl -d 'How long it is good for, a week at most [default: 1h]' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -l replace -d 'Let the machine take the place of the host or server with this name' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -l server -d 'Let a server in, which gets the cluster\'s keys'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -f -a "list" -d 'List join tokens, without their secrets'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -f -a "revoke" -d 'Revoke a join token at once; who joined with it stays'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from token" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from label" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from label" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "list" -d 'List hosts'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a host'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "drain" -d 'Move everything off a host, replacements first'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "undrain" -d 'Let a host take instances again'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a host for good: drained before, or taken for dead'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "token" -d 'Make, list and revoke tokens with which machines join'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "label" -d 'Change labels of a host'
complete -c freehold -n "__fish_freehold_using_subcommand host; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and not __fish_seen_subcommand_from add list remove help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand registry; and not __fish_seen_subcommand_from add list remove help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand registry; and not __fish_seen_subcommand_from add list remove help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and not __fish_seen_subcommand_from add list remove help" -f -a "add" -d 'Say how to reach a registry; a registry that is known is changed'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and not __fish_seen_subcommand_from add list remove help" -f -a "list" -d 'List registries, without passwords'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and not __fish_seen_subcommand_from add list remove help" -f -a "remove" -d 'Forget a registry'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and not __fish_seen_subcommand_from add list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -l username -d 'The user to log in as' -r
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -l password-file -d 'A file with the password or token; - is standard input' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -l ca -d 'Certificates to trust beside the hosts\' own, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -l proxy -d 'An HTTP proxy to go through, such as http://proxy.example:3128' -r
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -l plain-http -d 'Speak plain HTTP'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from remove" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from remove" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from help" -f -a "add" -d 'Say how to reach a registry; a registry that is known is changed'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from help" -f -a "list" -d 'List registries, without passwords'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Forget a registry'
complete -c freehold -n "__fish_freehold_using_subcommand registry; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand event; and not __fish_seen_subcommand_from list help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand event; and not __fish_seen_subcommand_from list help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand event; and not __fish_seen_subcommand_from list help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand event; and not __fish_seen_subcommand_from list help" -f -a "list" -d 'List events, the oldest first'
complete -c freehold -n "__fish_freehold_using_subcommand event; and not __fish_seen_subcommand_from list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand event; and __fish_seen_subcommand_from list" -l limit -d 'Only the newest' -r
complete -c freehold -n "__fish_freehold_using_subcommand event; and __fish_seen_subcommand_from list" -l since -d 'Only those of the last time, such as 10m' -r
complete -c freehold -n "__fish_freehold_using_subcommand event; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand event; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand event; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "list" -d 'List events, the oldest first'
complete -c freehold -n "__fish_freehold_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand backup" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand backup" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand restore" -l data -d 'The data directory; it must be empty or missing' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand restore" -l keys -d 'A data directory, or a copy of one, whose keys are taken over: server/master.key and pki' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand restore" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand restore" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand store; and not __fish_seen_subcommand_from move help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand store; and not __fish_seen_subcommand_from move help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand store; and not __fish_seen_subcommand_from move help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand store; and not __fish_seen_subcommand_from move help" -f -a "move" -d 'Move the state from one machine\'s SQLite into etcd, or back'
complete -c freehold -n "__fish_freehold_using_subcommand store; and not __fish_seen_subcommand_from move help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l from -d 'The data directory to move from' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l to-etcd -d 'The etcd to move into: https://ADDRESS:PORT of its members, separated by commas' -r
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l from-etcd -d 'The etcd to move from' -r
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l to -d 'The data directory to move into; it must hold no state' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l certificate -d 'The certificate to show to etcd, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l key -d 'That certificate\'s key, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l authorities -d 'The authorities that sign etcd\'s certificates, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l prefix -d 'What all keys begin with in etcd' -r
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "move" -d 'Move the state from one machine\'s SQLite into etcd, or back'
complete -c freehold -n "__fish_freehold_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "up" -d 'Make a lab and start its machines'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "status" -d 'List the machines of a lab'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "kill" -d 'Kill machines as by power loss, or processes'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "freeze" -d 'Stop machines or processes where they are'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "thaw" -d 'Let what is frozen go on'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "restart" -d 'Start what is dead; a machine that runs is killed before'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "cut" -d 'Cut the links between two machines'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "loss" -d 'Lose packets at random between two machines'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "delay" -d 'Hold back what machines send to each other'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "heal" -d 'End all cuts, losses and delays'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "migrate" -d 'Move a machine to another hypervisor while it runs'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "clock" -d 'Set a machine\'s clock wrong, or right again with 0s'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "shell" -d 'Run a shell, or a command, on a machine'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "run" -d 'Run a command as an outside client on the lab\'s network'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "env" -d 'Print what a shell needs to reach the lab\'s cluster from this machine'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "down" -d 'Remove a lab with everything that runs in it'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and not __fish_seen_subcommand_from up status kill freeze thaw restart cut loss delay heal migrate clock shell run env down help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l servers -d 'Servers; several keep their state in an etcd of their own, which must be installed' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l hosts -d 'Hosts' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l hypervisors -d 'Hypervisors that the hosts are spread over' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l racks -d 'Racks that the hypervisors are spread over' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l clock-offset -d 'A machine whose clock is wrong, e.g. host-2=-1h; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l cpus -d 'Processors of each machine [default: all of this one]' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l memory -d 'Memory of each machine' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l overlay -d 'How packets go between hosts, the same on all: auto, vxlan or direct [default: auto]' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l range -d 'The machines\' addresses, a /24; seen inside the lab only' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l servers-apart -d 'Give servers machines of their own'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l bare -d 'Start machines alone, without anything of Freehold on them'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -l no-wait -d 'Do not wait until all hosts are connected'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from status" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from status" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from status" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from status" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from kill" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from kill" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from kill" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from kill" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from freeze" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from freeze" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from freeze" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from freeze" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from freeze" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from thaw" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from thaw" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from thaw" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from thaw" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from thaw" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from restart" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from restart" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from restart" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from restart" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from restart" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from cut" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from cut" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from cut" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from cut" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from cut" -l one-way -d 'Only packets from the first to the second'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from cut" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from loss" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from loss" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from loss" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from loss" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from loss" -l one-way -d 'Only packets from the first to the second'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from loss" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from delay" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from delay" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from delay" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from delay" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from delay" -l one-way -d 'Only packets from the first to the second'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from delay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from heal" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from heal" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from heal" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from heal" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from heal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from migrate" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from migrate" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from migrate" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from migrate" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from migrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from clock" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from clock" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from clock" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from clock" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from clock" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from shell" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from shell" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from shell" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from shell" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from shell" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from run" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from run" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from run" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from run" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from env" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from env" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from env" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from env" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from env" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from down" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from down" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from down" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from down" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from down" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "up" -d 'Make a lab and start its machines'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "status" -d 'List the machines of a lab'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "kill" -d 'Kill machines as by power loss, or processes'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "freeze" -d 'Stop machines or processes where they are'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "thaw" -d 'Let what is frozen go on'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "restart" -d 'Start what is dead; a machine that runs is killed before'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "cut" -d 'Cut the links between two machines'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "loss" -d 'Lose packets at random between two machines'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "delay" -d 'Hold back what machines send to each other'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "heal" -d 'End all cuts, losses and delays'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "migrate" -d 'Move a machine to another hypervisor while it runs'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "clock" -d 'Set a machine\'s clock wrong, or right again with 0s'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "shell" -d 'Run a shell, or a command, on a machine'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "run" -d 'Run a command as an outside client on the lab\'s network'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "env" -d 'Print what a shell needs to reach the lab\'s cluster from this machine'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "down" -d 'Remove a lab with everything that runs in it'
complete -c freehold -n "__fish_freehold_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand net; and not __fish_seen_subcommand_from doctor help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand net; and not __fish_seen_subcommand_from doctor help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand net; and not __fish_seen_subcommand_from doctor help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand net; and not __fish_seen_subcommand_from doctor help" -f -a "doctor" -d 'Find machines that do not hear each other, although servers hear them'
complete -c freehold -n "__fish_freehold_using_subcommand net; and not __fish_seen_subcommand_from doctor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand net; and __fish_seen_subcommand_from doctor" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand net; and __fish_seen_subcommand_from doctor" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand net; and __fish_seen_subcommand_from doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "doctor" -d 'Find machines that do not hear each other, although servers hear them'
complete -c freehold -n "__fish_freehold_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and not __fish_seen_subcommand_from status accept help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and not __fish_seen_subcommand_from status accept help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and not __fish_seen_subcommand_from status accept help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and not __fish_seen_subcommand_from status accept help" -f -a "status" -d 'Show whether it is in force, and why'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and not __fish_seen_subcommand_from status accept help" -f -a "accept" -d 'Accept what was lost: replacements go on unpaced'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and not __fish_seen_subcommand_from status accept help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from status" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from status" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from accept" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from accept" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from accept" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show whether it is in force, and why'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from help" -f -a "accept" -d 'Accept what was lost: replacements go on unpaced'
complete -c freehold -n "__fish_freehold_using_subcommand safe-mode; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l join -d 'Join the cluster of these servers' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l token -d 'The join token; see: freehold host token --server' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l token-file -d 'The file that the join token is in' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l restore -d 'Begin the new cluster with the state of this backup. No server of before may run any more; the others join anew, with empty directories' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l keys -d 'The data directory of a server of before, or a copy of one, whose keys are taken over; without them secrets cannot be opened, and every host must join again' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l etcd-client -d 'Where its etcd serves other servers [default: port 2379 beside --api]' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l etcd-peer -d 'Where its etcd serves other members [default: port 2380 beside --api]' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l etcd-binary -d 'The etcd program [default: that of the path]' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l api-host -d 'Another name or address by which clients reach the API; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l data -d 'Its directory: state, images, master key' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l cluster -d 'The cluster\'s name [default: freehold]' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l name -d 'Its own name' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l address -d 'Where agents, other servers and users reach it [default: that of --api]' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l domain -d 'The failure domain it stands in, outermost first, e.g. rack-3/hypervisor-12 [default: that of the host on its machine]' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l host -d 'The host that runs on the same machine, where the server\'s address is not the host\'s too: a server does not judge whether its own machine is alive' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l api -d 'Where the API, the image registry and the agents\' streams are served' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l certificate -d 'Its certificate, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l key -d 'That certificate\'s key, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l authorities -d 'The cluster\'s authorities, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l authority -d 'The directory of the authority\'s certificate and key; without it nobody can join here' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l admin-token -d 'Where the first admin\'s token is written when there is none' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l instance-range -d 'Where instances\' addresses come from; each host has a /24 of it' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l service-range -d 'Where service addresses come from' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l https-port -d 'The port of https as clients see it, when it is not 443' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l etcd -d 'Keep the state in this etcd instead of SQLite: its members\' addresses for clients' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l etcd-certificate -d 'The certificate to show to that etcd, PEM [default: the server\'s own, with --authorities trusted]. New files are taken over while the server runs' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l etcd-key -d 'That certificate\'s key, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l etcd-authorities -d 'The authorities that sign that etcd\'s certificates, PEM. They are the operator\'s to exchange' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l supervised-by -d 'End when this process does' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l init -d 'Begin a new cluster with this server'
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l replace -d 'Take the place of the server with this name, which is dead; an operator must have said so'
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l begin-only -d 'Begin or join and end, without running'
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -l print-unit -d 'Print a unit for systemd and end'
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -f -a "list" -d 'List servers: which one leads, how its store is, and whom each hears'
complete -c freehold -n "__fish_freehold_using_subcommand server; and not __fish_seen_subcommand_from list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand server; and __fish_seen_subcommand_from list" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand server; and __fish_seen_subcommand_from list" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand server; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand server; and __fish_seen_subcommand_from help" -f -a "list" -d 'List servers: which one leads, how its store is, and whom each hears'
complete -c freehold -n "__fish_freehold_using_subcommand server; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l join -d 'Join the cluster of these servers' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l token -d 'The join token; see: freehold host token' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l token-file -d 'The file that the join token is in' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l name -d 'What this host is called [default: the machine\'s name]' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l label -d 'A label of this host; may be repeated. ingress=true makes it serve the ingress' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l data -d 'On disk: what joining gave, images, documents, logs' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l run-dir -d 'On tmpfs: bundles, namespaces, sockets' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l slug -d 'Names everything of this installation on the machine: 1 to 8 of a-z and 0-9' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l host -d 'The host\'s name, as in its certificate' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l server -d 'A server; may be repeated' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l authorities -d 'The cluster\'s authorities, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l certificate -d 'The host\'s certificate, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l key -d 'That certificate\'s key, PEM' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l subnet -d 'The addresses of this host\'s instances, a /24' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l domain -d 'The failure domain it stands in, outermost first, e.g. rack-3/hypervisor-12' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l domain-command -d 'A command that prints that, run by sh at the start and again and again, where it may change; see contrib/domain for vSphere, Proxmox and libvirt' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l domain-every -d 'How often that command is run [default: 30s]' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l domain-within -d 'How long that command may take [default: 10s]' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l address -d 'Where other hosts reach it' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l overlay -d 'How packets go to other hosts\' instances: auto (direct on a common segment), vxlan or direct; the same on all hosts' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l overlay-port -d 'The UDP port of the tunnel between hosts; the same on all hosts [default: 4789]' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l vip-port -d 'The UDP port of adverts between ingress hosts; the same on all hosts [default: 7445]' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l probe-port -d 'The UDP port on which hosts probe each other; the same on all hosts [default: 7444]' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l instance-range -d 'The addresses of all instances of the cluster' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l service-range -d 'The addresses of services' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l http -d 'Where the ingress serves plain HTTP' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l https -d 'Where the ingress serves TLS' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l api-port -d 'The port on which virtual addresses answer for the API of any server [default: 7443]' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l api -d 'Answer for the API of any server at this address too, on a host that runs no server' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l supervised-by -d 'End when this process does' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l ingress -d 'Serve the ingress: the same as --label ingress=true'
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l replace -d 'Take the place of the host with this name; an operator must have said so too'
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l join-only -d 'Join and end, without running'
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l print-unit -d 'Print a unit for systemd and end'
complete -c freehold -n "__fish_freehold_using_subcommand agent" -l ephemeral -d 'Remove containers, network and run directory on an orderly end'
complete -c freehold -n "__fish_freehold_using_subcommand agent" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand proxy" -l control -d 'Where the control socket is made' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand proxy" -l workers -d 'Worker threads; without it one per core' -r
complete -c freehold -n "__fish_freehold_using_subcommand proxy" -l access-log -d 'Where requests are logged' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand proxy" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand proxy" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand proxy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab-init" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab-init" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab-init" -l machine -d 'The machine' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab-init" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab-init" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab-init" -l first -d 'Inside the namespaces already'
complete -c freehold -n "__fish_freehold_using_subcommand lab-init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab-door" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab-door" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab-door" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab-door" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab-door" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand lab-relay" -l base -d 'Where labs are kept' -r -F
complete -c freehold -n "__fish_freehold_using_subcommand lab-relay" -l lab -d 'The lab' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab-relay" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand lab-relay" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand lab-relay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand completions" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand completions" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand version" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand version" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand version" -l client -d 'Do not ask the cluster'
complete -c freehold -n "__fish_freehold_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand exit-codes" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand exit-codes" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand exit-codes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and not __fish_seen_subcommand_from openapi schema cli help" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand gen; and not __fish_seen_subcommand_from openapi schema cli help" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand gen; and not __fish_seen_subcommand_from openapi schema cli help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and not __fish_seen_subcommand_from openapi schema cli help" -f -a "openapi" -d 'The OpenAPI document'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and not __fish_seen_subcommand_from openapi schema cli help" -f -a "schema" -d 'The JSON schema of manifests'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and not __fish_seen_subcommand_from openapi schema cli help" -f -a "cli" -d 'The reference of the command line'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and not __fish_seen_subcommand_from openapi schema cli help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from openapi" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from openapi" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from openapi" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from schema" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from schema" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from cli" -s o -l output -d 'How answers are written' -r -f -a "table\t'For people'
json\t'The API\'s own field names; a list is an array'
yaml\t'The same as YAML'"
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from cli" -l context -d 'The context of the configuration file to use' -r
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from cli" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from help" -f -a "openapi" -d 'The OpenAPI document'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from help" -f -a "schema" -d 'The JSON schema of manifests'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from help" -f -a "cli" -d 'The reference of the command line'
complete -c freehold -n "__fish_freehold_using_subcommand gen; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "up" -d 'Run server, agent and ingress on this machine'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "login" -d 'Keep how to reach a cluster'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "check" -d 'Judge a manifest without a cluster'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "deploy" -d 'Make a release of a manifest and an image, and roll it out'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "promote" -d 'Roll out in the next environment what runs completely in this one'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "rollback" -d 'Roll out an earlier release'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "status" -d 'Show how apps are'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "ps" -d 'List instances'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "logs" -d 'Show what instances write, live and after their death'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "image" -d 'Images on this machine and in the cluster\'s own registry'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "app" -d 'Apps are named workloads of a team'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "release" -d 'Releases: an image and a manifest, numbered per app, never changed'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "env" -d 'Environments: the stages of the pipeline'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "route" -d 'Routes: public names and ports'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "secret" -d 'Secrets: values that apps get in their environment'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "cert" -d 'Certificates that the ingress serves, and the cluster\'s own authority'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "team" -d 'Teams own apps'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "token" -d 'Tokens let users and machines in'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "host" -d 'Hosts: the machines that run instances'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "registry" -d 'Image registries off the cluster'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "event" -d 'Events: what the platform did and why'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "backup" -d 'Write a backup of the cluster\'s state'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "restore" -d 'Restore a backup into an empty data directory'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "store" -d 'Where the cluster\'s state is kept'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "lab" -d 'Rehearse on a cluster of many machines inside this one'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "net" -d 'The network between hosts'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "safe-mode" -d 'Safe mode: when much is lost at once, replacements are paced'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "server" -d 'Run a server of the control plane, or list all of a cluster\'s'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "agent" -d 'Run the agent of a host'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "proxy" -d 'Run the ingress'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "lab-init" -d 'A machine\'s first process'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "lab-door" -d 'The way in from this machine'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "lab-relay" -d 'What makes links slow'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "completions" -d 'Print completions for a shell'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "version" -d 'Show the version of this binary and, where one is known, of the cluster'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "exit-codes" -d 'List the exit codes'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "gen" -d 'Print generated files'
complete -c freehold -n "__fish_freehold_using_subcommand help; and not __fish_seen_subcommand_from up login check deploy promote rollback status ps logs image app release env route secret cert team token host registry event backup restore store lab net safe-mode server agent proxy lab-init lab-door lab-relay completions version exit-codes gen help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "build" -d 'Build an image from files, the same bytes from the same files each time'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "push" -d 'Push an image of this machine into the cluster\'s registry'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "pull" -d 'Pull an image of the cluster\'s registry to this machine'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "import" -d 'Import images from a docker-archive or OCI layout, a tar file or directory'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "list" -d 'List the images of the cluster\'s registry'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "inspect" -d 'Show what an image says of itself'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "delete" -d 'Delete an image, or a tag of one'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "collect-garbage" -d 'Remove what no image of the cluster\'s registry needs'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from app" -f -a "list" -d 'List apps'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from app" -f -a "show" -d 'Show an app'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from app" -f -a "delete" -d 'Delete an app: its instances are drained and stopped, then it goes'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from release" -f -a "list" -d 'List the releases of an app'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from release" -f -a "show" -d 'Show a release with its manifest'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "list" -d 'List environments in the order of the pipeline'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "show" -d 'Show an environment'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "apply" -d 'Make or change the environments of a TOML file'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "delete" -d 'Delete an environment in which nothing runs'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from route" -f -a "list" -d 'List routes, with the addresses that their names should stand for in DNS'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from route" -f -a "vip" -d 'Virtual addresses: each is held by one ingress host of its network at a time'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "set" -d 'Set a secret; its value is read from standard input'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "list" -d 'List secrets, without their values'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "delete" -d 'Delete a secret'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "set" -d 'Set a certificate; it is served at once'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "list" -d 'List certificates, without keys'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "delete" -d 'Delete a certificate'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "authority" -d 'The authority that signs the cluster\'s own certificates'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from team" -f -a "list" -d 'List teams'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from team" -f -a "create" -d 'Make a team'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from team" -f -a "delete" -d 'Delete a team that owns no app'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "list" -d 'List tokens, without their secrets'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "create" -d 'Make a token; it is printed once and never again'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "revoke" -d 'Revoke a token at once'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from host" -f -a "list" -d 'List hosts'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from host" -f -a "show" -d 'Show a host'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from host" -f -a "drain" -d 'Move everything off a host, replacements first'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from host" -f -a "undrain" -d 'Let a host take instances again'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from host" -f -a "remove" -d 'Remove a host for good: drained before, or taken for dead'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from host" -f -a "token" -d 'Make, list and revoke tokens with which machines join'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from host" -f -a "label" -d 'Change labels of a host'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from registry" -f -a "add" -d 'Say how to reach a registry; a registry that is known is changed'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from registry" -f -a "list" -d 'List registries, without passwords'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from registry" -f -a "remove" -d 'Forget a registry'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from event" -f -a "list" -d 'List events, the oldest first'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "move" -d 'Move the state from one machine\'s SQLite into etcd, or back'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "up" -d 'Make a lab and start its machines'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "status" -d 'List the machines of a lab'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "kill" -d 'Kill machines as by power loss, or processes'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "freeze" -d 'Stop machines or processes where they are'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "thaw" -d 'Let what is frozen go on'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "restart" -d 'Start what is dead; a machine that runs is killed before'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "cut" -d 'Cut the links between two machines'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "loss" -d 'Lose packets at random between two machines'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "delay" -d 'Hold back what machines send to each other'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "heal" -d 'End all cuts, losses and delays'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "migrate" -d 'Move a machine to another hypervisor while it runs'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "clock" -d 'Set a machine\'s clock wrong, or right again with 0s'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "shell" -d 'Run a shell, or a command, on a machine'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "run" -d 'Run a command as an outside client on the lab\'s network'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "env" -d 'Print what a shell needs to reach the lab\'s cluster from this machine'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "down" -d 'Remove a lab with everything that runs in it'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "doctor" -d 'Find machines that do not hear each other, although servers hear them'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from safe-mode" -f -a "status" -d 'Show whether it is in force, and why'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from safe-mode" -f -a "accept" -d 'Accept what was lost: replacements go on unpaced'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from server" -f -a "list" -d 'List servers: which one leads, how its store is, and whom each hears'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from gen" -f -a "openapi" -d 'The OpenAPI document'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from gen" -f -a "schema" -d 'The JSON schema of manifests'
complete -c freehold -n "__fish_freehold_using_subcommand help; and __fish_seen_subcommand_from gen" -f -a "cli" -d 'The reference of the command line'
