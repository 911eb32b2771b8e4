package seed

import "time"

// englishTalks are of the colleagues abroad.
var englishTalks = []talk{
	{
		group: "Design crew", about: "Sketches, type, and kind critique",
		people: []string{"emma", "katya", "sofia", "olga", "max"},
		begins: at(5, 9, 50),
		unread: map[string]int{"max": 1, "olga": 2},
		lines: []line{
			say("emma", "Morning all! The icon review is today. One rule: say what works before you say what doesn't.").pinned().liked("👍", "katya", "sofia"),
			say("katya", "Here is the clock again, now with thicker hands.").with("clock").liked("😍", "emma", "sofia"),
			say("sofia", "What works: it looks like it is about to say something nice.").to(1).liked("❤️", "katya"),
			say("sofia", "What doesn't yet: at 16 pixels the ticks melt together. Maybe four of them instead of twelve?"),
			say("katya", "Four at small sizes, twelve at large. Good eye.").to(1),
			say("olga", "A note on words: «куранты» has no exact English twin. I wrote \"chimes\" in the text; \"clock\" loses the sound.").after(50*time.Minute).liked("👏", "emma", "katya", "max"),
			say("max", "Chimes it is. Everybody hears them at the same moment, which is rather the point.").to(1),
			say("emma", "That goes straight into the brand guide. Max, are you secretly a copywriter?").liked("😂", "olga", "sofia"),
			say("max", "Only in comments nobody reads."),
			say("emma", "Dark theme contrast passes everywhere now: 4.7 to 1 on the smallest grey. Shipping it to Pavel.").after(28*time.Hour).liked("🎉", "katya", "sofia"),
			say("olga", "And all 412 strings are in both languages. I counted twice, once in each."),
		},
	},
	{
		group: "Book club", about: "One book a month, spoilers only after the 20th",
		people: []string{"grace", "emma", "anna", "noah", "liam", "olga"},
		begins: at(8, 19, 0),
		unread: map[string]int{"anna": 3, "liam": 2},
		lines: []line{
			say("grace", "This month: a short novel about a lighthouse keeper who answers letters that were not meant for him. 180 pages, no excuses.").pinned().liked("📚", "emma", "anna", "noah", "olga"),
			say("noah", "180 pages is about four loaves of sourdough of reading time. I'm in."),
			say("anna", "I read the first chapter on the train and missed my stop. Recommended, with an alarm.").to(2).liked("😂", "grace", "noah"),
			say("liam", "Is it sad? I need to know which shelf of my week to put it on.").after(21 * time.Hour),
			say("grace", "It is sad the way good weather is: it passes, and you're glad you went out.").to(1).liked("❤️", "emma", "liam", "olga"),
			say("emma", "Finished. I have opinions about the last letter and will sit on my hands until the 20th.").after(70 * time.Hour),
			say("olga", "I compared the translation. Page 91 has a pun that survived, which is a small miracle."),
			say("noah", "Can we meet on Thursday, 19:00 London time? I bring bread, you bring opinions.").after(22*time.Hour).liked("👍", "grace", "emma", "olga"),
			say("grace", "Thursday it is. @anna, will the launch let you go for an hour?"),
			say("emma", "We will save you a slice and the last letter.").to(1),
		},
	},
	{
		people: []string{"liam", "max"},
		begins: at(1, 16, 30),
		unread: map[string]int{"max": 2},
		lines: []line{
			say("liam", "Ran your load test against our cluster. 10,000 connections, median under 4 ms, and the fans did not even spin up."),
			say("max", "Nice! What about the reconnect storm?"),
			say("liam", "Pulled the plug on the load balancer, everybody was back in nine seconds. No message lost, I compared the ids.").to(1).liked("🚀", "max"),
			say("max", "That is the number I wanted to hear. Thank you for the unplugging."),
			say("liam", "Any time. Unplugging things is my core skill."),
			say("liam", "Also: the runbook you wrote is the first one I read to the end.").after(12 * time.Minute),
		},
	},
	{
		people: []string{"emma", "anna"},
		begins: ago(5 * time.Hour),
		lines: []line{
			say("emma", "Anna, one question before Thursday: does the release note mention the keyboard shortcuts?"),
			say("anna", "It does now. Thank you for asking, I had it in my head and nowhere else.").to(1),
			say("emma", "Heads are lovely places, but they don't have search.").liked("😂", "anna"),
			say("anna", "Putting that on a mug."),
		},
	},
	{
		people: []string{"noah", "emma"},
		begins: at(3, 12, 20),
		lines: []line{
			say("noah", "Which grey did you use for the map labels? Mine look like fog."),
			say("emma", "#5B6470 on light, #A8B0BA on dark. Fog is a mood, labels are not."),
			say("noah", "Stealing both. I'll pay in rye bread.").to(1).liked("🍞", "emma"),
		},
	},
	{
		people: []string{"hana", "oleg"},
		begins: at(1, 10, 15),
		lines: []line{
			say("hana", "Oleg, the customer in Osaka wants to thank \"the person who answers before tea is ready\". I believe that's you."),
			say("oleg", "Please tell them the tea here is very slow. And thank you, it made my morning!").to(1).liked("☕", "hana"),
			say("hana", "They also ask if the interface can be in Japanese one day."),
			say("oleg", "I'll write it down with the others. Yours is the seventh request, so it is getting close."),
		},
	},
}
