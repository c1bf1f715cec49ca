# ruff: noqa: E501
"""The names of the countries, as files and columns write them.

English and Spanish names as the Unicode CLDR gives them, and the usual others. Without accents,
signs or capitals.
"""

from __future__ import annotations

_TABLE = """
AD andorra
AE united arab emirates, emiratos arabes unidos, uae, emiratos, eau
AF afghanistan, afganistan
AG antigua and barbuda, antigua y barbuda
AI anguilla, anguila
AL albania
AM armenia
AO angola
AQ antarctica, antartida
AR argentina
AS american samoa, samoa americana
AT austria
AU australia
AW aruba
AX aland islands, islas aland
AZ azerbaijan, azerbaiyan
BA bosnia and herzegovina, bosnia y herzegovina
BB barbados
BD bangladesh, banglades
BE belgium, belgica
BF burkina faso
BG bulgaria
BH bahrain, barein
BI burundi
BJ benin
BL st barthelemy, san bartolome
BM bermuda, bermudas
BN brunei, brunei darussalam
BO bolivia, bolivia plurinational state of
BQ caribbean netherlands, caribe neerlandes
BR brazil, brasil
BS bahamas
BT bhutan, butan
BV bouvet island, isla bouvet
BW botswana, botsuana
BY belarus, bielorrusia
BZ belize, belice
CA canada
CC cocos islands, islas cocos
CD congo kinshasa, republica democratica del congo, dr congo, democratic republic of the congo
CF central african republic, republica centroafricana
CG congo brazzaville, congo, republic of the congo
CH switzerland, suiza
CI cote divoire, ivory coast, costa de marfil
CK cook islands, islas cook
CL chile
CM cameroon, camerun
CN china
CO colombia
CR costa rica
CU cuba
CV cape verde, cabo verde
CW curacao, curazao
CX christmas island, isla de navidad
CY cyprus, chipre
CZ czechia, chequia, czech republic, republica checa
DE germany, alemania
DJ djibouti, yibuti
DK denmark, dinamarca
DM dominica
DO dominican republic, republica dominicana, rep dominicana
DZ algeria, argelia
EC ecuador
EE estonia
EG egypt, egipto
EH western sahara, sahara occidental
ER eritrea
ES spain, espana
ET ethiopia, etiopia
FI finland, finlandia
FJ fiji, fiyi
FK falkland islands, islas malvinas
FM micronesia
FO faroe islands, islas feroe
FR france, francia
GA gabon
GB united kingdom, reino unido, uk, great britain, england, gran bretana, united kingdom of great britain and northern ireland, inglaterra
GD grenada, granada
GE georgia
GF french guiana, guayana francesa
GG guernsey, guernesey
GH ghana
GI gibraltar
GL greenland, groenlandia
GM gambia
GN guinea
GP guadeloupe, guadalupe
GQ equatorial guinea, guinea ecuatorial
GR greece, grecia
GS south georgia and south sandwich islands, islas georgia del sur y sandwich del sur
GT guatemala
GU guam
GW guinea bissau, guinea bisau
GY guyana
HK hong kong sar china, rae de hong kong, hong kong
HM heard and mcdonald islands, islas heard y mcdonald
HN honduras
HR croatia, croacia
HT haiti
HU hungary, hungria
ID indonesia
IE ireland, irlanda
IL israel
IM isle of man, isla de man
IN india
IO british indian ocean territory, territorio britanico del oceano indico
IQ iraq, irak
IR iran, iran islamic republic of
IS iceland, islandia
IT italy, italia
JE jersey
JM jamaica
JO jordan, jordania
JP japan, japon
KE kenya, kenia
KG kyrgyzstan, kirguistan
KH cambodia, camboya
KI kiribati
KM comoros, comoras
KN st kitts and nevis, san cristobal y nieves
KP north korea, corea del norte
KR south korea, corea del sur, korea, republic of korea, korea republic of, corea
KW kuwait
KY cayman islands, islas caiman
KZ kazakhstan, kazajistan
LA laos, lao
LB lebanon, libano
LC st lucia, santa lucia
LI liechtenstein
LK sri lanka
LR liberia
LS lesotho, lesoto
LT lithuania, lituania
LU luxembourg, luxemburgo
LV latvia, letonia
LY libya, libia
MA morocco, marruecos
MC monaco
MD moldova, moldavia, moldova republic of
ME montenegro
MF st martin, san martin
MG madagascar
MH marshall islands, islas marshall
MK north macedonia, macedonia del norte, macedonia
ML mali
MM myanmar, burma, birmania
MN mongolia
MO macao sar china, rae de macao, macao, macau
MP northern mariana islands, islas marianas del norte
MQ martinique, martinica
MR mauritania
MS montserrat
MT malta
MU mauritius, mauricio
MV maldives, maldivas
MW malawi, malaui
MX mexico
MY malaysia, malasia
MZ mozambique
NA namibia
NC new caledonia, nueva caledonia
NE niger
NF norfolk island, isla norfolk
NG nigeria
NI nicaragua
NL netherlands, paises bajos, holland, the netherlands, holanda
NO norway, noruega
NP nepal
NR nauru
NU niue
NZ new zealand, nueva zelanda
OM oman
PA panama
PE peru
PF french polynesia, polinesia francesa
PG papua new guinea, papua nueva guinea
PH philippines, filipinas, the philippines
PK pakistan
PL poland, polonia
PM st pierre and miquelon, san pedro y miquelon
PN pitcairn islands, islas pitcairn
PR puerto rico
PS palestinian territories, territorios palestinos, palestine, palestina
PT portugal
PW palau, palaos
PY paraguay
QA qatar, catar
RE reunion
RO romania, rumania
RS serbia
RU russia, rusia, russian federation
RW rwanda, ruanda
SA saudi arabia, arabia saudi
SB solomon islands, islas salomon
SC seychelles
SD sudan
SE sweden, suecia
SG singapore, singapur
SH st helena, santa elena
SI slovenia, eslovenia
SJ svalbard and jan mayen, svalbard y jan mayen
SK slovakia, eslovaquia
SL sierra leone, sierra leona
SM san marino
SN senegal
SO somalia
SR suriname, surinam
SS south sudan, sudan del sur
ST sao tome and principe, santo tome y principe
SV el salvador
SX sint maarten
SY syria, siria
SZ eswatini, esuatini, swaziland
TC turks and caicos islands, islas turcas y caicos
TD chad
TF french southern territories, territorios australes franceses
TG togo
TH thailand, tailandia
TJ tajikistan, tayikistan
TK tokelau
TL timor leste
TM turkmenistan
TN tunisia, tunez
TO tonga
TR turkiye, turquia, turkey
TT trinidad and tobago, trinidad y tobago
TV tuvalu
TW taiwan, taiwan province of china
TZ tanzania, tanzania united republic of
UA ukraine, ucrania
UG uganda
UM u s outlying islands, islas menores alejadas de ee uu
US united states, estados unidos, usa, united states of america, ee uu, eeuu, estados unidos de america, eua
UY uruguay
UZ uzbekistan
VA vatican city, ciudad del vaticano
VC st vincent and grenadines, san vicente y las granadinas
VE venezuela, venezuela bolivarian republic of
VG british virgin islands, islas virgenes britanicas
VI u s virgin islands, islas virgenes de ee uu
VN vietnam, viet nam
VU vanuatu
WF wallis and futuna, wallis y futuna
WS samoa
XK kosovo
YE yemen
YT mayotte
ZA south africa, sudafrica
ZM zambia
ZW zimbabwe, zimbabue
"""

CODES = {
    name: code
    for code, _, names in (line.partition(" ") for line in _TABLE.strip().splitlines())
    for name in names.split(", ")
}
"""ISO 3166-1 alpha-2 code (or XK) by name."""
